"""Slimming: a plain model without the channels that a mask or a regularizer has made zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, output_tensors
from ofa.modes import in_mode
from ofa.prune import optimizer_state
from ofa.prune.dead_units import dead_units
from ofa.prune.granularity import ChannelGranularity, Granularity
from ofa.prune.granularity._channel import every_width
from ofa.prune.optimizer_state import MakeOptimizer
from ofa.prune.units import cut_units, unit_slices
from ofa.supernet import Supernet
from ofa.views.plan import Slice


@dataclass(frozen=True, eq=False)
class Slimmed:
    """A slim model and how it came from the full one.

    Attributes:
        model: plain, with weights of its own.
        kept: by group, which of its units stay, bool (units,); groups that are not named stay whole.
        slices: how each parameter and buffer of the full model was cut, by its first name.
        left: groups whose zero units had to stay, with the reason.
    """

    model: nn.Module
    kept: Mapping[str, Tensor]
    slices: Mapping[str, Slice]
    left: Mapping[str, str]


def slim(supernet: Supernet, removable: Mapping[str, Tensor] | None = None, tolerance: float = 1e-5) -> Slimmed:
    """Returns the supernet's model without dead units: those that no input or no output reaches.

    The slim model is compared with the full one on the example input; groups that change the outputs are left as
    they are. `removable` are units (bool (units,) by group) that must go, those that masks removed; then no others
    go, so widths are exactly those of the masks.

    Source: dead neurons of Han et al. 2015, 1506.02626, section 3.5.

    Raises:
        InvalidInput: a unit of `removable` cannot go without changing the outputs (its layer and the reason are
            named), or the model draws at random in eval mode.
    """
    if removable is None:
        dead = dead_units(supernet, [group for group in supernet.groups if not group.renormalized])
        dead |= {name: _last_ones(units) for name, units in dead.items() if name in supernet.unsortable}
    else:
        dead = {name: units for name, units in removable.items() if bool(units.any())}
    left: dict[str, str] = {}
    while True:
        keep = {name: _kept_units(units) for name, units in dead.items()}
        slimmed = cut_units(supernet, keep)
        if _agree(supernet, slimmed, tolerance):
            return Slimmed(slimmed, keep, unit_slices(supernet, keep), left)
        if not dead:
            name = type(supernet.model).__name__
            raise InvalidInput(
                f"a copy of {name} gives other outputs than {name} itself; in eval mode it must not draw"
            )
        for name in _culprits(supernet, dead, tolerance):
            why = supernet.refused.get(f"width.{name}", "its zero channels still reach the output")
            if removable is not None:
                raise InvalidInput(f"the channels of {name} cannot be removed without changing the outputs: {why}")
            left[name] = why
            del dead[name]


def zero_dead_units_(supernet: Supernet) -> int:
    """Returns how many weights became 0: those of units that `slim` would remove, in place; the network does the same.

    Weights that lead to a unit that nothing reads decide nothing, and cost bytes in a file.

    Raises:
        InvalidInput: as `slim`.
    """
    tensors, live = supernet.tensors(), slim(supernet).kept
    zeroed = 0
    with torch.no_grad():
        for group in supernet.groups:
            for member in group.members if group.name in live else ():
                tensor = tensors[member.source]
                if isinstance(tensor, nn.Parameter):
                    places = torch.from_numpy(member.index)[~live[group.name]].reshape(-1).to(tensor.device)
                    zeroed += int(tensor.index_select(member.dim, places).count_nonzero())
                    tensor.index_fill_(member.dim, places, 0.0)
    return zeroed


def _last_ones(dead: Tensor) -> Tensor:
    """The dead units after the last live one: others cannot go where units keep their order."""
    return dead.flip(0).long().cumprod(0).bool().flip(0)


def _kept_units(dead: Tensor) -> Tensor:
    """The units that stay; where all are dead, the first does, so that no layer is empty."""
    alive = ~dead
    alive[0] |= bool(dead.all())
    return alive


def _culprits(supernet: Supernet, dead: Mapping[str, Tensor], tolerance: float) -> list[str]:
    """The groups that change the outputs on their own; all of them, where none does."""
    culprits = [
        name
        for name, units in dead.items()
        if not _agree(supernet, cut_units(supernet, {name: _kept_units(units)}), tolerance)
    ]
    return culprits or list(dead)


def _agree(supernet: Supernet, slimmed: nn.Module, tolerance: float) -> bool:
    """Whether both models give the same outputs on the example and on noise of its shape, in eval mode."""
    model = supernet.model
    device = next(model.parameters()).device
    example = supernet.inputs.to(device)
    generator = torch.Generator().manual_seed(0)

    def noise(tensor: Tensor) -> Tensor:
        if not tensor.is_floating_point():
            return tensor
        return torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)

    return all(
        _close(_outputs(model, inputs), _outputs(slimmed, inputs), tolerance)
        for inputs in (example, example.map(noise))
    )


def _outputs(model: nn.Module, inputs: Inputs) -> list[Tensor]:
    with in_mode(model, training=False), torch.no_grad():
        return output_tensors(inputs.call(model))


def _close(first: Sequence[Tensor], second: Sequence[Tensor], tolerance: float) -> bool:
    """Whether outputs agree, relative to the largest entry: a sum over fewer zeros may round differently."""
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return False
        scale = max(1.0, float(a.abs().max()) if a.numel() else 1.0)
        if not bool(((a.double() - b.double()).abs() <= tolerance * scale).all()):
            return False
    return True


def slim_model(
    model: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    granularity: Granularity,
    masks: Mapping[str, Tensor],
    example_input: Example | None,
    make_optimizer: MakeOptimizer | None = None,
) -> tuple[nn.Module, torch.optim.Optimizer | None]:
    """Returns the model without dead channels and the optimizer, its state cut alike.

    Raises:
        InvalidInput: see `Pruner.slim`.
    """
    if example_input is None:
        raise InvalidInput("slim() compares outputs: give the pruner example_input=")
    if isinstance(granularity, ChannelGranularity):
        supernet = granularity.supernet
        alive = zip(granularity.groups, granularity.alive(masks), strict=True)
        slimmed = slim(supernet, {group.name: ~units for group, units in alive})
    else:
        slimmed = slim(every_width(model, example_input))
    if optimizer is None:
        return slimmed.model, None
    return slimmed.model, optimizer_state.cut(optimizer, model, slimmed.model, slimmed.slices, make_optimizer)
