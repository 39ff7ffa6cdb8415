"""The conversion report: what became of every layer, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ofa.coupling import Group
from ofa.rules import SpaceRules, depth_values, width_values
from ofa.structure import Structure

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Row:
    """One layer or stage: its name, class, state (elastic, coupled or fixed), choices and the reason."""

    layer: str
    kind: str
    state: str
    choices: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class LayerReport:
    """Rows in the model's order; `str()` is a table."""

    rows: tuple[Row, ...]

    def __str__(self) -> str:
        header = ("layer", "class", "state", "choices", "why")
        cells = [(row.layer, row.kind, row.state, ", ".join(map(str, row.choices)), row.reason) for row in self.rows]
        widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
        lines = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in [header, *cells]
        ]
        return "\n".join(line.rstrip() for line in lines)


def make_report(
    model: nn.Module,
    structure: Structure,
    rules: SpaceRules,
    refused: Mapping[str, str],
    owners: Mapping[str, list[str]],
) -> LayerReport:
    """Returns a row for every stage and for every layer that holds parameters."""
    rows = [_stage_row(stage.name, depth_values(stage, rules), len(stage.blocks)) for stage in structure.stages]
    rows += [
        Row(key.removeprefix("depth."), "stage", "fixed", (), why)
        for key, why in refused.items()
        if key.startswith("depth.")
    ]
    made_by = {(member.source, member.dim): group for group in structure.groups for member in group.members}
    tensor_of = {path: name for name, paths in owners.items() for path in paths if name.endswith("weight")}
    for path, module in model.named_modules():
        own = [name for name, tensor in module.named_parameters(recurse=False)]
        if not own:
            continue
        name = tensor_of.get(path, f"{path}.{own[0]}" if path else own[0])
        rows.append(_layer_row(path or own[0], module, name, made_by, structure, rules))
    return LayerReport(tuple(rows))


def _stage_row(name: str, values: tuple[int, ...], blocks: int) -> Row:
    if len(values) > 1:
        return Row(name, "stage", "elastic", values, f"{blocks} blocks, last out first")
    return Row(name, "stage", "fixed", values, "the rules leave one depth")


def _layer_row(
    path: str,
    module: nn.Module,
    tensor: str,
    made_by: Mapping[tuple[str, int], Group],
    structure: Structure,
    rules: SpaceRules,
) -> Row:
    kind = type(module).__name__
    makes = 1 if isinstance(module, _TRANSPOSED) else 0
    group = made_by.get((tensor, makes))
    if group is None:
        reason = structure.fixed.get((tensor, makes), "never meets another layer")
        return Row(path, kind, "fixed", (), reason)
    values = width_values(group, rules)
    if len(values) == 1:
        return Row(path, kind, "fixed", values, "the rules leave one width")
    notes = ["removal changes the normalisation"] if group.renormalised else []
    if group.name.partition("#")[0] == path:
        return Row(path, kind, "elastic", values, "; ".join(notes))
    return Row(path, kind, "coupled", values, "; ".join([f"with {group.name}", *notes]))
