"""The conversion report: what can vary in every layer, and why the rest is fixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.utils.parametrize import type_before_parametrizations

from ofa.computed_weights import computed_weights, is_inside
from ofa.resolution import NAME
from ofa.rules import SpaceRules, misfit, width_values
from ofa.structure.blocks import Stage
from ofa.structure.coupling import Group
from ofa.structure.structure import Structure

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
    """Returns one row per stage, for a resolution, and per layer that holds parameters."""
    rows = [_stage_row(stage) for stage in structure.stages]
    rows += [
        Row(key.removeprefix("depth."), "stage", "fixed", (), why)
        for key, why in refused.items()
        if key.startswith("depth.")
    ]
    rows += [Row(path, "stage", "fixed", (), why) for path, why in structure.unstaged.items()]
    if heights := tuple(structure.resolutions):
        rows.append(Row(NAME, "resolution", "elastic", heights, "height of images in pixels"))
    made_by = {(member.source, member.dim): group for group in structure.groups for member in group.members}
    tensor_of = {path: name for name, paths in owners.items() for path in paths if name.endswith("weight")}
    for path, module in model.named_modules():
        computed = [weight.original for weight in computed_weights(module) if weight.original is not None]
        parameters = [*computed, *(name for name, tensor in module.named_parameters(recurse=False))]
        if not parameters or is_inside(path):
            continue
        first = f"{path}.{parameters[0]}" if path else parameters[0]
        name = first if computed else tensor_of.get(path, first)
        rows.append(_layer_row(path or parameters[0], module, name, made_by, structure, rules))
    return LayerReport(tuple(rows))


def _stage_row(stage: Stage) -> Row:
    values = tuple(stage.depths)
    if len(values) == 1:
        return Row(stage.name, "stage", "fixed", values, "the rules leave one depth")
    stays = sorted(set(range(len(stage.blocks))) - set(stage.leaving))
    in_turn = "last out first" if stage.leaving == tuple(sorted(stage.leaving, reverse=True)) else "evenly"
    always = [stage.blocks[position].rpartition(".")[2] for position in stays]
    note = f"; {', '.join(always)} always stay" if stays and stays[-1] >= len(stays) else ""
    return Row(stage.name, "stage", "elastic", values, f"{len(stage.blocks)} blocks, {in_turn}{note}")


def _layer_row(
    path: str,
    module: nn.Module,
    tensor: str,
    made_by: Mapping[tuple[str, int], Group],
    structure: Structure,
    rules: SpaceRules,
) -> Row:
    kind = type_before_parametrizations(module).__name__
    makes = 1 if isinstance(module, _TRANSPOSED) else 0
    group = made_by.get((tensor, makes))
    if group is None:
        reason = structure.fixed.get((tensor, makes), "never meets another layer")
        return Row(path, kind, "fixed", (), reason)
    values = width_values(group, rules)
    if len(values) == 1:
        return Row(path, kind, "fixed", values, "the rules leave one width")
    notes = ["removal changes the normalization"] if group.renormalized else []
    notes += [note] if (note := misfit(group, rules)) else []
    if group.name.partition("#")[0] == path:
        return Row(path, kind, "elastic", values, "; ".join(notes))
    return Row(path, kind, "coupled", values, "; ".join([f"with {group.name}", *notes]))
