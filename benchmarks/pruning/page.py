"""The page of all tables, written from the files of results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from benchmarks import channel_criteria
from benchmarks.pruning import connections, dynamic, group_lasso, han, initialization, lottery, one_shot, structured
from benchmarks.pruning.cells import Cells
from benchmarks.pruning.lottery_figure import write_figure

DOCS = Path(__file__).parent.parent.parent / "docs"


def write_page(results: Path, figures: Path) -> None:
    """Writes docs/pruning_results.md, with a section for each experiment that has rows, and figures as HTML pages."""
    parts = [_text("head") + "\n"]
    for title, name, text, make in _sections():
        cells = Cells(results / f"{name}.json")
        if cells.rows():
            command = f"    python -m benchmarks.pruning_tables {name} --mnist PATH"
            parts.append(f"## {title}\n\n{command}\n\n{text}\n\n{make(cells)}\n")
    channels = Cells(channel_criteria.RESULTS)
    if channels.rows():
        command = "    python -m benchmarks.channel_criteria --cifar10 PATH --first-seed 1"
        title = "## Channels, half of the multiply-accumulates in one call"
        parts.append(f"{title}\n\n{command}\n\n{_text('channel_criteria')}\n\n{channel_criteria.table(channels)}\n")
    lottery_cells = Cells(results / "lottery.json")
    if lottery_cells.rows():
        write_figure(lottery_cells, figures / "lottery.html")
    (DOCS / "pruning_results.md").write_text("\n".join(parts))


def _sections() -> tuple[tuple[str, str, str, Callable[[Cells], str]], ...]:
    return (
        ("Magnitude pruning: LeNet-300-100", "han300", _text("han300"), lambda c: han.table("lenet300", c)),
        ("Magnitude pruning: LeNet-5 (431K)", "han5", _text("han5"), lambda c: han.table("lenet5", c)),
        ("One shot, without training", "one_shot", _text("one_shot"), one_shot.table),
        ("Lottery tickets", "lottery", _text("lottery"), lottery.table),
        (
            "Sparse training: RigL, SET, static",
            "sparse_training",
            _text("sparse_training"),
            lambda c: dynamic.table(c, dynamic.SPARSE_TRAINING, "LeNet-300-100 at 95 % sparsity", "static"),
        ),
        (
            "Masks before training",
            "at_init",
            _text("at_init"),
            lambda c: dynamic.table(c, dynamic.AT_INIT, "LeNet-300-100 at 98 % sparsity", "random, ERK"),
        ),
        ("Group lasso", "group_lasso", _text("group_lasso"), group_lasso.table),
        ("Initial weights", "initialization", _text("initialization"), initialization.table),
        ("Learned connections", "connections", _text("connections"), connections.table),
        ("Channels", "structured", _text("structured"), structured.table),
    )


def _text(name: str) -> str:
    return (Path(__file__).parent / "texts" / f"{name}.md").read_text().strip()
