"""The page of the results, written from the file of rows."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

from benchmarks import bit_price, integers, low_rank
from benchmarks.compressing.recipe import SETTINGS, Setting
from benchmarks.pruning.cells import Cells, column, markdown, mean_spread

DOCS = Path(__file__).parent.parent.parent / "docs" / "compression_results.md"
TEXTS = Path(__file__).parent / "texts"
STUDIES = {"The price of a bit": bit_price, "Integers": integers, "Low rank": low_rank}
TITLES = {
    "lenet300": "LeNet-300-100",
    "lenet300_short": "LeNet-300-100, a short training",
    "lenet300_price": "LeNet-300-100, the short training, values at a price",
    "lenet300_bits": "LeNet-300-100, the short training, weights and values at a price",
    "lenet300_long": "LeNet-300-100, longer, weights and values at a price",
    "lenet5": "LeNet-5 (431K)",
    "resnet20": "ResNet-20, CIFAR-10 at 16x16 pixels",
    "mobilenet": "A subnet of MobileNet, CIFAR-10 at 16x16 pixels",
}
WHOLE = (  # networks with all their weights: name, size, stage
    ("dense, float32", "float32", "dense"),
    ("dense, xz", "xz", "dense"),
    ("control, float32", "float32", "control"),
    ("control in int8, ONNX", "bytes", "int8"),
    ("control in int8, ONNX, xz", "xz", "int8"),
)


def write_page(cells: Cells) -> None:
    """Writes docs/compression_results.md, with a section for each model that has files."""
    parts = [(TEXTS / "head.md").read_text().strip() + "\n"]
    for name, setting in SETTINGS.items():
        rows = [row for row in cells.rows() if row["setting"] == name]
        if any(row["stage"] == "file" for row in rows):
            command = f"    python -m benchmarks.compression run files --setting {name} --{setting.data} PATH"
            text = (TEXTS / f"{name}.md").read_text().strip()
            parts.append(f"## {TITLES[name]}\n\n{command}\n\n{text}\n\n{_errors(setting, rows)}\n\n{_bytes(rows)}\n")
    for title, study in STUDIES.items():
        found = Cells(study.RESULTS).rows()
        if found:
            name = study.RESULTS.stem
            text = (TEXTS / f"{name}.md").read_text().strip()
            parts.append(f"## {title}\n\n    python -m benchmarks.{name}\n\n{text}\n\n{study.table(found)}\n")
    DOCS.write_text("\n".join(parts))


def _errors(setting: Setting, rows: list[dict[str, Any]]) -> str:
    """Bytes and error, each file beside the networks that it came from."""
    control = {row["seed"]: row["error"] for row in rows if row["stage"] == "control"}
    dense_bytes = column(rows, "float32", stage="dense")[0]
    lines = []
    for name, size, stage in WHOLE:
        lines.append(_line(name, column(rows, size, stage=stage), rows, control, stage=stage))
    for level in setting.levels:
        keys = {"stage": "pruned", "level": level}
        lines.append(_line(f"{level}x pruned, xz", column(rows, "xz", **keys), rows, control, **keys))
        for levels in setting.shared.get(level, ()):
            keys = {"stage": "file", "level": level, "levels": levels}
            name = f"**{level}x pruned, {levels} values, .ofaz**"
            lines.append(_line(name, column(rows, "bytes", **keys), rows, control, **keys))
    for line in lines:
        line[2] = f"{dense_bytes / float(line[2]):.0f}x"
    header = ["file", "bytes", "smaller", "test error %", "minus control, points (standard error)", "seeds"]
    return markdown(header, [line for line in lines if line[-1] != "0"])


def _line(
    name: str, sizes: list[float], rows: list[dict[str, Any]], control: dict[int, float], **keys: Any
) -> list[str]:
    chosen = [row for row in rows if all(row.get(key) == value for key, value in keys.items())]
    if not chosen:
        return [name, "", "1", "", "", "0"]
    changes = [row["error"] - control[row["seed"]] for row in chosen if row["seed"] in control]
    change = f"{statistics.fmean(changes):+.3f}" if changes and keys["stage"] != "control" else "-"
    if change != "-" and len(changes) > 1:
        change += f" ({statistics.stdev(changes) / len(changes) ** 0.5:.3f})"
    mean = statistics.fmean(sizes)
    return [name, f"{mean:,.0f}", str(mean), mean_spread([row["error"] for row in chosen], 3), change, str(len(chosen))]


def _bytes(rows: list[dict[str, Any]]) -> str:
    """What the bytes of each file are for, beside the same network in other forms."""
    files = [row for row in rows if row["stage"] == "file"]
    kinds = sorted({(row["level"], row["levels"]) for row in files})
    parts = ("kept", "positions", "values", "tables", "rest", "header", "bytes", "xz", "bitmask", "shared_error")
    lines = []
    for level, levels in kinds:
        keys = {"stage": "file", "level": level, "levels": levels}
        means = {part: statistics.fmean(column(rows, part, **keys)) for part in parts}
        figures = [f"{means[part]:,.0f}" for part in parts[:-1]]
        lines.append([f"{level}x, {levels} values", *figures, f"{means['shared_error']:.3f}"])
    header = ["file", "weights kept", "positions", "values", "tables", "rest", "header and card", "together"]
    return markdown([*header, "xz of float32", "bit mask and float32", "error % before tuning"], lines)
