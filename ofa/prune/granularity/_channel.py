"""Channels: the coupled units of any model, removed together wherever they reach."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput, nearest
from ofa.inputs import Example
from ofa.prune.granularity.pool import PieceScores, Pool
from ofa.prune.units import unit_masks
from ofa.rules import SpaceRules
from ofa.structure.coupling import Group
from ofa.supernet import Supernet

AGGREGATES = ("mean", "sum", "max")

# Predicts milliseconds at batch 1 of each Arch, such as a device's latency model.
Latency = Callable[[Supernet, Sequence[Arch]], Sequence[float]]


@dataclass(frozen=True, eq=False)
class ChannelGranularity:
    """A piece is a unit of a group: the same channel of every layer, norm and bias that it passes."""

    supernet: Supernet
    groups: tuple[Group, ...]
    step: int
    latency: Latency | None = None
    aggregate: str = "mean"

    @cached_property
    def pools(self) -> tuple[Pool, ...]:
        """One per group of coupled channels."""
        return tuple(self._pool(group) for group in self.groups)

    def _pool(self, group: Group) -> Pool:
        shapes = {name: source.shape for name, source in self.supernet.sources.items()}
        parameters = self._parameters
        weights = sum(
            math.prod(shapes[member.source]) * member.index.size // shapes[member.source][member.dim]
            for member in group.members
            if member.source in parameters
        )
        naming = next((shapes[m.source] for m in group.members if m.source.rpartition(".")[0] == group.name), (1,))
        step = math.lcm(self.step, group.channels_per_unit) // group.channels_per_unit
        return Pool(group.name, group.units, weights, naming, step, -(-group.least // step) * step)

    @cached_property
    def _parameters(self) -> dict[str, nn.Parameter]:
        return dict(self.supernet.model.named_parameters())

    def gather(self, scores: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns the score of each unit: the criterion's own, or else those of its weights together.

        Scores of weights become the mean over a unit's row or column in each layer, then the mean (or sum, or largest)
        of its layers. Scores of rows count where the unit is produced. Units that must keep their order rank by it.

        Raises:
            InvalidInput: the criterion scores nothing of a group.
        """
        if isinstance(scores, PieceScores):
            totals = [scores[group.name].detach().double().cpu() for group in self.groups]
        else:
            totals = [self._unit_scores(group, scores) for group in self.groups]
        ranked = []
        for group, total in zip(self.groups, totals, strict=True):
            if group.name in self.supernet.unsortable:
                total = -torch.arange(group.units, dtype=torch.float64)
            ranked.append(total.masked_fill(~self._alive(group, masks), -torch.inf))
        return ranked

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the parameters that any unit reaches."""
        names = dict.fromkeys(member.source for group in self.groups for member in group.members)
        return tuple(name for name in names if name in self._parameters)

    def parts(self, values: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
        """Returns what each tensor holds of each unit, by group and parameter, (units,), float64: sums of `values`.

        A tensor that a unit reaches twice, such as in a row and in a column, counts both.
        """
        result: dict[str, dict[str, Tensor]] = {}
        for group in self.groups:
            sums = result.setdefault(group.name, {})
            for member in group.members:
                if (value := values.get(member.source)) is not None:
                    others = [dim for dim in range(value.dim()) if dim != member.dim]
                    along = value.detach().double().sum(dim=others) if others else value.detach().double()
                    part = along[torch.from_numpy(member.index).to(along.device)].sum(dim=1)
                    sums[member.source] = sums[member.source] + part if member.source in sums else part
        return result

    def _unit_scores(self, group: Group, scores: Mapping[str, Tensor]) -> Tensor:
        scores_of_members: list[Tensor] = []
        for member in group.members:
            score = scores.get(member.source)
            if score is None:
                continue
            score = score.detach().double().cpu()
            if score.dim() == 1:
                if member.dim != 0:
                    continue
            else:
                score = score.mean(dim=[dim for dim in range(score.dim()) if dim != member.dim])
            scores_of_members.append(score[torch.from_numpy(member.index)].mean(dim=1))
        if not scores_of_members:
            raise InvalidInput(
                f"the criterion scores no weight of the channels {group.name!r}; give keep={group.name!r}"
            )
        stacked = torch.stack(scores_of_members)
        if self.aggregate == "max":
            return stacked.amax(dim=0)
        return stacked.sum(dim=0) if self.aggregate == "sum" else stacked.mean(dim=0)

    def alive(self, masks: Mapping[str, Tensor]) -> list[Tensor]:
        """Returns which units have anything left, bool (units,) per pool."""
        return [self._alive(group, masks) for group in self.groups]

    def _alive(self, group: Group, masks: Mapping[str, Tensor]) -> Tensor:
        alive = torch.zeros(group.units, dtype=torch.bool)
        for member in group.members:
            mask = masks.get(member.source)
            if mask is None:
                continue
            others = [dim for dim in range(mask.dim()) if dim != member.dim]
            along = mask.cpu().any(dim=others) if others else mask.cpu()
            alive |= along[torch.from_numpy(member.index)].any(dim=1)
        return alive

    def spread(self, keep: Sequence[Tensor]) -> dict[str, Tensor]:
        """Returns masks of every parameter that a unit reaches: weights, biases, norms."""
        return unit_masks(self.supernet, {group.name: units for group, units in zip(self.groups, keep, strict=True)})

    def cost(self, counts: Sequence[int]) -> dict[str, float]:
        """Returns "macs", "params", "bytes" and, with a latency model, "latency_ms" of the slim network."""
        arch = self.arch(counts)
        costs = {name: float(values[0]) for name, values in cost(self.supernet, [arch]).items()}
        if self.latency is not None:
            costs["latency_ms"] = float(np.asarray(self.latency(self.supernet, [arch]))[0])
        return costs

    def arch(self, counts: Sequence[int]) -> Arch:
        """Returns the widths when each pool keeps `counts` units."""
        return self.supernet.space.arch(
            {
                f"width.{group.name}": count * group.channels_per_unit
                for group, count in zip(self.groups, counts, strict=True)
            }
        )


def channel(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    example_input: Example | None = None,
    *,
    multiple_of: int = 8,
    latency: Latency | None = None,
    aggregate: str = "mean",
) -> ChannelGranularity:
    """Returns the granularity of coupled channels, found by running the model on `example_input`.

    Groups that hold a weight outside `weights`, have `multiple_of` channels or fewer, or pass a layer norm (whose
    statistics would change) stay whole. `aggregate` says how scores of a channel's layers come together, where the
    criterion scores weights: "mean", "sum" (channels of many layers count more) or "max".

    Raises:
        InvalidInput: no example, a `multiple_of` below 1, an unknown `aggregate`, or no group can lose a channel.
    """
    if aggregate not in AGGREGATES:
        raise InvalidInput(f"aggregate={aggregate!r} is unknown; {nearest(str(aggregate), AGGREGATES)}")
    if example_input is None:
        raise InvalidInput("channels are found by running the model: give the pruner example_input=")
    if multiple_of < 1:
        raise InvalidInput(f"multiple_of={multiple_of!r}: give a whole number of channels, 1 or more")
    supernet = every_width(model, example_input, multiple_of)
    names = {choice.name for choice in supernet.space.choices}
    groups = tuple(
        group
        for group in supernet.groups
        if group.name in names and not group.renormalized and _is_open(group, supernet, weights)
    )
    if not groups:
        raise InvalidInput(f"no channels of {type(model).__name__} can go; its layers:\n{supernet.report()}")
    return ChannelGranularity(supernet, groups, multiple_of, latency, aggregate)


def every_width(model: nn.Module, example_input: Example, multiple_of: int = 1) -> Supernet:
    """Returns the supernet in which each group can have every multiple of `multiple_of` channels, at full depth.

    Raises:
        InvalidInput: the model does not run on the example, or no width can vary.
    """
    return Supernet(model, example_input, SpaceRules(width_ratios=None, multiple_of=multiple_of, min_depth=1_000_000))


def _is_open(group: Group, supernet: Supernet, weights: Mapping[str, Tensor]) -> bool:
    """Whether all matrices of a group may be pruned along the rows that make its channels."""
    matrices = {m.source for m in group.members if m.dim == 0 and len(supernet.sources[m.source].shape) >= 2}
    return matrices <= weights.keys()
