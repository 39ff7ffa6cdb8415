"""The page docs/any_model.md, written from the rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.collection import all_entries
from benchmarks.judging.causes import CAUSES, COSTS

PAGE = Path(__file__).parents[2] / "docs" / "any_model.md"
LIBRARIES = ("torchvision", "timm", "transformers")
BARS = {"convolution": 0.9, "transformer": 0.85}
HEADER = (
    "model", "convert, s", "weights", "widths", "units", "depths", "removed", "Torch-Pruning", "copy", "full model",
    "MACs", "gradients", "trains", "export", "ONNX",
)  # fmt: skip
_ROUNDINGS = 100  # times that which one rounding of every weight does
Row = dict[str, Any]

INTRODUCTION = """# Any model

Written by `python -m benchmarks.any_model table` from `benchmarks/results/any_model.json`. Every model is as its
authors wrote it, with random weights; it is converted with every width allowed
(`SpaceRules(width_ratios=None, multiple_of=1)`), and judged by means that share no code with the conversion.

- convert, s: CPU seconds of `ofa.Supernet(model, inputs)` on one thread of a busy machine
- weights: matrices and kernels of which some dimension has a choice, of all
- widths, depths: how many choices; units: those of the widths that go by groups of channels (heads, norm groups)
- removed: parameters that the smallest subnet does without
- Torch-Pruning: the same by Torch-Pruning 1.6, each layer to its last channel or head; "-": what it makes does not run
- copy: largest relative difference of a view from its extracted copy, over the smallest and random Archs, 20 in all
  where there was time
- full model: the same from the full model with removed weights at zero and norms over what is left; s: in single
  precision, where the model names its types. It is exact up to 1e-10, or 1e-5 in single precision, or a hundred times
  what moving every weight of that subnet to the next number does to its output, 1e-5 at most
- MACs: Archs for which `ofa.cost` equals torch's FLOP counter (attention counted as two products) and the parameters
- gradients: backward through the largest view reaches exactly the parameters that it reaches in the model
- trains, export, ONNX: the smallest subnet runs in training mode; a random copy goes through torch.export and ONNX
  Runtime with the same numbers; "model": the model itself does not
"""


def write_page(results: Path) -> None:
    """Writes the page from the file of rows."""
    kept = json.loads(results.read_text())
    rows: list[Row] = kept["rows"]
    groups = {"By hand": [row for row in rows if row["model"].split(" ")[0] not in LIBRARIES]}
    groups |= {library: [row for row in rows if row["model"].split(" ")[0] == library] for library in LIBRARIES}
    parts = [INTRODUCTION, _summary(rows), *(f"## {name}\n\n{_table(part)}" for name, part in groups.items() if part)]
    parts += [_under_the_bar(rows), _other_costs(rows), _inexact(rows), _reasons(rows)]
    if kept["left_out"]:
        parts.append("Left out: " + "; ".join(f"{name} ({why})" for name, why in kept["left_out"].items()))
    PAGE.write_text("\n\n".join(part.strip() for part in parts if part) + "\n")


def is_exact(row: Row) -> bool:
    """Whether every Arch that was compared computes what it should, to 1e-10, or 1e-5 where rounding takes it there."""
    bar = 1e-10 if row["double"] else 1e-5
    rounding = min(1e-5, _ROUNDINGS * row.get("rounding", 0.0))
    return bool(max(row["view_against_copy"], row["view_against_full"]) <= max(bar, rounding))


def _summary(rows: Sequence[Row]) -> str:
    judged = [row for row in rows if "view_against_full" in row]
    exact = [row for row in judged if is_exact(row)]
    wrong = [row["model"] for row in judged if not is_exact(row)]
    costs = [row for row in rows if "cost_compared" in row]
    counts = {key: sum(key in row for row in rows) for key in ("supernet", "refused", "stopped")}
    right = sum(row["cost_equal"] == row["cost_compared"] for row in costs)
    lines = [
        f"- {len(rows)} of the {len(all_entries())} models of the collection are measured: "
        f"{counts['supernet']} are supernets, {counts['refused']} are refused with a reason, "
        f"{counts['stopped']} were stopped for time; a traceback instead of some result: "
        f"{sum(bool(row.get('faults')) for row in rows)}.",
        f"- Exact: {len(exact)} of {len(judged)}, over {sum(row['archs'] for row in judged)} Archs."
        + (f" Not: {', '.join(wrong)}." if wrong else ""),
        f"- Cost equals the counter for every Arch in {right} of {len(costs)}.",
    ]
    for family, bar in BARS.items():
        found = [row for row in rows if row["family"] == family]
        if not found:
            continue
        reached = [row for row in found if row.get("removable", 0.0) >= bar]
        rival = [row for row in found if isinstance(row.get("torch_pruning"), float)]
        ahead = [row for row in found if row.get("removable", 0.0) >= _rival(row) - 0.005]
        mean = sum(row.get("removable", 0.0) for row in found) / max(1, len(found))
        lines.append(
            f"- {family.capitalize()}s: {mean:.0%} of the parameters removable on average, {bar:.0%} or more in "
            f"{len(reached)} of {len(found)}; Torch-Pruning has a result for {len(rival)}, with "
            f"{sum(_rival(row) for row in found) / max(1, len(found)):.0%} on average; "
            f"this toolkit removes as much or more in {len(ahead)}."
        )
    return "\n".join(lines)


def _rival(row: Row) -> float:
    fraction = row.get("torch_pruning")
    return fraction if isinstance(fraction, float) else 0.0


def _table(rows: Sequence[Row]) -> str:
    lines = [HEADER, ["---"] * len(HEADER), *(_cells(row) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(row: Row) -> list[str]:
    rival = row.get("torch_pruning")
    their = f"{rival:.1%}" if isinstance(rival, float) else "-"
    if "removable" not in row:
        said = "refused" if "refused" in row else "stopped" if "stopped" in row else "fault"
        return [_name(row), f"{row.get('seconds', 0.0):.1f}", said, *[""] * 4, their, *[""] * 7]
    single = "" if row.get("double", True) else " s"
    return [
        _name(row),
        f"{row['seconds']:.1f}",
        f"{row['elastic_weights']} of {row['weights']}",
        str(row["widths"]),
        str(row["whole_units"]),
        str(row["depths"]),
        f"{row['removable']:.1%}",
        their,
        f"{row['view_against_copy']:.0e}" if "view_against_copy" in row else "?",
        f"{row['view_against_full']:.0e}{single}" if "view_against_full" in row else "?",
        f"{row['cost_equal']} of {row['cost_compared']}" if "cost_equal" in row else "?",
        {True: "yes", False: "no", None: "?"}[row.get("gradients")],
        *(_word(row.get(column)) for column in ("trains", "export", "onnx")),
    ]


def _name(row: Row) -> str:
    first, _, rest = row["model"].partition(" ")
    return rest if first in LIBRARIES else row["model"]


def _word(said: str | None) -> str:
    return {None: "?", "yes": "yes", "nor the model": "model"}.get(said, "no")


def _under_the_bar(rows: Sequence[Row]) -> str:
    """Returns which models keep more than the bar of their family, and why."""
    lines = [
        f"- {row['model']}, {row['removable']:.1%}: {CAUSES.get(row['model'], 'see below')}"
        for row in rows
        if row.get("removable", 1.0) < BARS.get(row["family"], 0.0)
    ]
    said = ", ".join(f"{family}s under {bar:.0%}" for family, bar in BARS.items())
    return f"## Less is removed\n\nOf {said}:\n\n" + "\n".join(lines) if lines else ""


def _other_costs(rows: Sequence[Row]) -> str:
    """Returns of which models the cost is not what the counter says, and why."""
    lines = [
        f"- {row['model']}, {row['cost_equal']} of {row['cost_compared']}: {COSTS.get(row['model'], 'not looked into')}"
        for row in rows
        if row.get("cost_equal") != row.get("cost_compared")
    ]
    return "## Other costs than the counter's\n\n" + "\n".join(lines) if lines else ""


def _inexact(rows: Sequence[Row]) -> str:
    """Returns how far rounding takes those subnets that are furthest from the full model."""
    lines = [
        f"- {row['model']}: {row['view_against_full']:.0e}, and {row['rounding']:.0e} by itself"
        for row in rows
        if "rounding" in row
    ]
    said = (
        "Of models whose furthest subnet is more than 1e-10 from the full model: how far, and how far its output\n"
        "moves by itself when each of its weights moves to the next number:"
    )
    return f"## Rounding\n\n{said}\n\n" + "\n".join(lines) if lines else ""


def _reasons(rows: Sequence[Row]) -> str:
    """Returns, model by model, what was refused, what keeps most parameters, and what went wrong."""
    parts = []
    for row in rows:
        lines = [f"refused: {row['refused']}"] if "refused" in row else []
        lines += [f"{name} in trial: {why}" for name, why in list(row.get("trial", {}).items())[:3]]
        lines += [f"{share:.0%} fixed: {why}" for why, share in row.get("fixed", {}).items() if share >= 0.05][:3]
        lines += [f"fault in {name}: {why}" for name, why in row.get("faults", {}).items()]
        lines += [f"stopped: {row['stopped']}"] if "stopped" in row else []
        lines += [f"{name}: {row[name]}" for name in ("trains", "export", "onnx") if _word(row.get(name)) == "no"]
        if lines:
            parts.append(f"**{row['model']}**\n\n" + "\n".join(f"- {_short(line)}" for line in lines))
    return "## What stays, and why\n\n" + "\n\n".join(parts) if parts else ""


def _short(line: str) -> str:
    line = " ".join(line.split()).replace("|", "\\|")
    return line if len(line) <= 300 else line[:297] + "..."
