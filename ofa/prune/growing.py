"""Growth of neurons and filters: units that a mask had removed come back as halves of the strongest ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.granularity import ChannelGranularity, Granularity
from ofa.prune.optimizer_state import mask_
from ofa.prune.times import Time, check_times, whole
from ofa.prune.units import outputs_dim
from ofa.structure.coupling import Group


@dataclass(frozen=True)
class GrowUnits:
    """Adds channels of a masked model while it is trained: each `every` steps before `until`, a share of the live ones.

    The units that are added lie where the mask has removed some, so the model is built as wide as it may become, and
    starts narrow: `Constant(0.75)` removes three quarters at first. In each group of coupled channels the
    live units of the largest weights are split: the new one takes a copy of all that makes the old one, norm statistics
    included, and half of the weights that read it, so that the outputs stay, but for noise that tells the two apart.

    Attributes:
        add: share of a group's live units that is added at each event, at least one step of `multiple_of` channels.
        least: share of a group's units that stays removed.
        every: steps between events.
        until: no event at this step or later.
        noise: standard deviation of what a copy differs by, relative to that of its weights.

    Source: Chen et al. 2016, 1511.05641 (Net2Net), section 3.1, of the widest layer that a mask allows.
    """

    add: float = 0.15
    least: float = 0.0
    every: Time = 0.05
    until: Time = 0.6
    noise: float = 0.05

    def __post_init__(self) -> None:
        check_times(self)
        for name, low, high in (("add", 0.0, 1.0), ("least", 0.0, 1.0), ("noise", 0.0, float("inf"))):
            value = getattr(self, name)
            if not low <= value <= high or (name == "add" and value == 0):
                raise InvalidInput(f"GrowUnits: {name}={value!r} is a share; it must be from {low:g} to {high:g}")

    @property
    def needs_gradient(self) -> bool:
        """False."""
        return False

    def fraction(self, step: int) -> float | None:
        """Returns `add` at an event, None between."""
        due = 0 < step < whole(self, "until") and step % whole(self, "every") == 0
        return self.add if due else None


def grow_units_(
    growth: GrowUnits,
    granularity: Granularity,
    masks: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer | None,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Returns the masks after an event of growth, whose units are split in place; what is new has no momentum."""
    assert isinstance(granularity, ChannelGranularity)  # see `check_parts`
    lives, pairs = grown(growth, granularity, masks)
    after = granularity.spread(lives)
    split_(granularity, pairs, growth.noise, generator)
    if optimizer is not None:
        old = {name: ~(mask & ~masks[name]) for name, mask in after.items() if name in masks}
        mask_(optimizer, dict(granularity.supernet.model.named_parameters()), old)
    return after


@torch.no_grad()
def grown(
    growth: GrowUnits, granularity: ChannelGranularity, masks: Mapping[str, Tensor]
) -> tuple[list[Tensor], list[tuple[Group, Tensor, Tensor]]]:
    """Returns which units live after an event, bool (units,) per pool, and by group the old units and their new halves.

    Units that have no meaning but by their order grow too: the next ones.
    """
    parameters = granularity.supernet.model.named_parameters()
    scores = granularity.gather({name: value.abs() for name, value in parameters if value.dim() >= 2}, masks)
    lives, pairs = [], []
    for group, pool, live, score in zip(
        granularity.groups, granularity.pools, granularity.alive(masks), scores, strict=True
    ):
        free = torch.nonzero(~live).flatten()
        most = len(free) - round(growth.least * pool.pieces)
        steps = max(1, round(growth.add * int(live.sum()) / pool.step))
        count = min(steps * pool.step, max(0, most) // pool.step * pool.step, int(live.sum()))
        parents = score.masked_fill(~live, -torch.inf).argsort(descending=True, stable=True)[:count]
        after = live.clone()
        after[free[:count]] = True
        lives.append(after)
        if count:
            pairs.append((group, parents, free[:count]))
    return lives, pairs


@torch.no_grad()
def split_(
    granularity: ChannelGranularity,
    pairs: list[tuple[Group, Tensor, Tensor]],
    noise: float,
    generator: torch.Generator,
) -> None:
    """Copies units in place: what makes them whole, and half of what reads them."""
    supernet = granularity.supernet
    tensors = supernet.tensors()
    for group, parents, children in pairs:
        for tensor, dim, index, reads in _members(granularity, tensors, group):
            old, new = (index[units].reshape(-1).to(tensor.device) for units in (parents, children))
            copied = tensor.index_select(dim, old)
            if reads:
                copied = copied / 2
                tensor.index_copy_(dim, old, copied)
            elif tensor.dim() >= 2:
                random = torch.randn(copied.shape, generator=generator).to(copied)
                copied = copied + noise * copied.std(correction=0) * random
            tensor.index_copy_(dim, new, copied)


def _members(
    granularity: ChannelGranularity, tensors: Mapping[str, Tensor], group: Group
) -> Iterator[tuple[Tensor, int, Tensor, bool]]:
    """Each tensor that a group's units reach: itself, dimension, positions by unit, and whether it reads them."""
    model: nn.Module = granularity.supernet.model
    for member in group.members:
        tensor = tensors[member.source]
        owner = model.get_submodule(member.source.rpartition(".")[0])
        reads = tensor.dim() >= 2 and member.dim != outputs_dim(owner)
        yield tensor, member.dim, torch.from_numpy(member.index), reads
