"""What a compression did, as text: bytes and score after each stage, and the bytes of every tensor."""

from __future__ import annotations

from collections.abc import Sequence

from search.run.compressed_cards import CompressedCard, SizeRow, StageRow
from search.run.scores import MetricFacts
from search.text import percent_text

STAGE_TITLES = ("stage", "kept", "bytes", "times smaller", "positions", "values", "tables", "rest")
TENSOR_TITLES = ("tensor", "numbers", "not zero", "bytes", "positions", "values", "tables", "rest", "coded as")


def stage_titles(metric: MetricFacts) -> tuple[str, ...]:
    """Returns the titles of the columns of `stage_cells`."""
    return (*STAGE_TITLES, metric.heading("test"), "vs. start")


def stage_cells(card: CompressedCard) -> list[tuple[str, ...]]:
    """Returns a line for each stage of a compression."""
    return [_stage_cells(row, card) for row in card.stages]


def _stage_cells(row: StageRow, card: CompressedCard) -> tuple[str, ...]:
    metric = card.metrics[0]
    first, score = card.stages[0].scores.test[metric.name], row.scores.test[metric.name]
    gain = None if row.gain is None else row.gain.test
    parts = [row.total(part) for part in ("positions", "values", "tables")]
    return (
        row.stage,
        percent_text(row.density),
        f"{row.bytes:,}",
        ratio_text(card.dense_bytes, row.bytes),
        *(f"{part:,}" for part in parts),
        f"{row.bytes - sum(parts):,}",
        metric.text(score),
        "" if row is card.stages[0] else metric.gain_or_difference_text(gain, score, first),
    )


def ratio_text(dense: int, size: int) -> str:
    """Returns how many times smaller a file is, such as "107.3"."""
    return f"{dense / max(1, size):.1f}"


def tensor_cells(rows: Sequence[SizeRow]) -> list[tuple[str, ...]]:
    """Returns a line for each tensor of a file, the largest first."""
    return [
        (
            row.name,
            f"{row.numbers:,}",
            f"{row.kept:,}",
            *(f"{part:,}" for part in (row.bytes, row.positions, row.values, row.tables, row.rest)),
            row.how,
        )
        for row in sorted(rows, key=lambda row: -row.bytes)
    ]


def log_text(card: CompressedCard) -> str:
    """Returns both tables as plain text."""
    lines = [
        f"{card.name}: {card.source}, {card.dense_bytes:,} bytes, by {card.recipe}",
        *_aligned([stage_titles(card.metrics[0]), *stage_cells(card)]),
        "",
        *_aligned([TENSOR_TITLES, *tensor_cells(card.stages[-1].tensors)]),
        *(f"warning: {line}" for line in card.warnings),
    ]
    return "\n".join(lines) + "\n"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells in columns; the first column at the left, the others at the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if not column else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
