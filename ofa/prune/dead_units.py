"""Dead units: channels whose producing weights are all zero, or that nothing reads."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ofa.prune.layers import find_layers
from ofa.structure.coupling import Group
from ofa.supernet import Supernet


def dead_units(supernet: Supernet, groups: Sequence[Group]) -> dict[str, Tensor]:
    """Returns by group which units are dead, bool (units,); groups without any are left out.

    A unit is dead when every row that makes it is zero, its biases and norms included, or when every column that
    reads it is. A row also counts as zero where the norm that it feeds has scale and shift zero. Removing units zeroes
    rows and columns of others, so this repeats until nothing changes.
    """
    live = {
        name: tensor.detach().cpu() != 0
        for name, tensor in supernet.tensors().items()
        if name in supernet.sources and _is_parameter(supernet, name)
    }
    _silence_rows(supernet, live)
    dead = {group.name: torch.zeros(group.units, dtype=torch.bool) for group in groups}
    while True:
        changed = False
        for group in groups:
            newly_dead = _dead_now(group, live) & ~dead[group.name]
            if bool(newly_dead.any()):
                changed = True
                dead[group.name] |= newly_dead
                for member in group.members:
                    if member.source in live:
                        positions = torch.from_numpy(member.index)[newly_dead].reshape(-1)
                        live[member.source].index_fill_(member.dim, positions, False)
        if not changed:
            return {name: units for name, units in dead.items() if bool(units.any())}


def _silence_rows(supernet: Supernet, live: dict[str, Tensor]) -> None:
    """Marks rows as dead whose norm maps them to zero."""
    for layer in find_layers(supernet.model, supernet.inputs):
        scale, shift = live.get(f"{layer.norm}.weight"), live.get(f"{layer.norm}.bias")
        if scale is None or shift is None or layer.weight not in live or len(scale) != len(live[layer.weight]):
            continue
        silent = ~(scale | shift)
        for name in (layer.weight, layer.bias):
            if name in live:
                live[name][silent] = False


def _is_parameter(supernet: Supernet, name: str) -> bool:
    return isinstance(supernet.tensors()[name], torch.nn.Parameter)


def _dead_now(group: Group, live: dict[str, Tensor]) -> Tensor:
    """Units without any live entry where they are produced (dimension 0), or where they are read (the others)."""
    written, read = _untouched(group, live, along_outputs=True), _untouched(group, live, along_outputs=False)
    return written | read


def _untouched(group: Group, live: dict[str, Tensor], *, along_outputs: bool) -> Tensor:
    zero = torch.ones(group.units, dtype=torch.bool)
    matrices = 0
    for member in group.members:
        entries = live.get(member.source)
        if entries is None or (member.dim == 0) is not along_outputs:
            continue
        matrices += entries.dim() >= 2
        others = [dim for dim in range(entries.dim()) if dim != member.dim]
        along = entries.any(dim=others) if others else entries
        zero &= ~along[torch.from_numpy(member.index)].any(dim=1)
    return zero if matrices else torch.zeros(group.units, dtype=torch.bool)
