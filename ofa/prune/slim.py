"""Slimming: a plain model without the channels that a mask or a regularizer has made zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

from ofa.errors import InvalidInput
from ofa.modes import in_mode
from ofa.plan import Slice
from ofa.prune.dead_units import dead_units
from ofa.prune.units import cut_units, unit_slices
from ofa.supernet import Supernet


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
    go, so that widths stay what the masks made them.

    Source: dead neurons of Han et al. 2015, 1506.02626, section 3.5.

    Raises:
        InvalidInput: a unit of `removable` cannot go without changing the outputs (its layer and the reason are
            named), or the model draws at random in eval mode.
    """
    if removable is None:
        dead = dead_units(supernet, [group for group in supernet.groups if not group.renormalised])
        dead |= {name: _last_ones(units) for name, units in dead.items() if name in supernet.unsortable}
    else:
        dead = {name: units for name, units in removable.items() if bool(units.any())}
    left: dict[str, str] = {}
    while True:
        kept = {name: _kept(units) for name, units in dead.items()}
        made = cut_units(supernet, kept)
        if _agree(supernet, made, tolerance):
            return Slimmed(made, kept, unit_slices(supernet, kept), left)
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


def _last_ones(dead: Tensor) -> Tensor:
    """The dead units that no living one follows: others cannot go where units keep their order."""
    return dead.flip(0).long().cumprod(0).bool().flip(0)


def _kept(dead: Tensor) -> Tensor:
    """The units that stay; where all are dead, the first does, so that no layer is empty."""
    alive = ~dead
    alive[0] |= bool(dead.all())
    return alive


def _culprits(supernet: Supernet, dead: Mapping[str, Tensor], tolerance: float) -> list[str]:
    """The groups that change the outputs by themselves; all, where none does alone."""
    found = [
        name
        for name, units in dead.items()
        if not _agree(supernet, cut_units(supernet, {name: _kept(units)}), tolerance)
    ]
    return found or list(dead)


def _agree(supernet: Supernet, slimmed: nn.Module, tolerance: float) -> bool:
    """Whether both models give the same on the example and on noise of its shape, in eval mode."""
    model = supernet.model
    device = next(model.parameters()).device
    example = supernet.example_input.to(device)
    inputs = [example]
    if example.is_floating_point():
        noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        inputs.append(noise.to(example))
    return all(_close(_outputs(model, one), _outputs(slimmed, one), tolerance) for one in inputs)


def _outputs(model: nn.Module, value: Tensor) -> list[Tensor]:
    with in_mode(model, training=False), torch.no_grad():
        return [found for found in tree_flatten(model(value))[0] if isinstance(found, Tensor)]


def _close(first: Sequence[Tensor], second: Sequence[Tensor], tolerance: float) -> bool:
    """Whether outputs agree, relative to the largest entry: a sum over fewer zeros may round otherwise."""
    for a, b in zip(first, second, strict=True):
        if a.shape != b.shape:
            return False
        scale = max(1.0, float(a.abs().max()) if a.numel() else 1.0)
        if not bool(((a.double() - b.double()).abs() <= tolerance * scale).all()):
            return False
    return True
