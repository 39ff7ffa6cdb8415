"""The section on compressed networks: the metric over bytes, bytes and score by stage and by tensor; gathering it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ofa.records import read_record
from search.compression.text import (
    TENSOR_TITLES,
    ratio_text,
    stage_cells,
    stage_titles,
    tensor_cells,
)
from search.report.document import Section, series_color
from search.report.figures import Figure, layout, lines, logarithmic
from search.run.compressed_cards import CompressedCard, CompressedFolder, StageRow
from search.run.paths import RunFolder
from search.run.scores import MetricFacts
from search.run.stages import is_complete
from search.text import bytes_text, percent_text

PARTS = ("positions", "values", "tables", "rest")
MOST_TENSORS = 40  # bars of a figure, the largest tensors
NEARLY_ALL = 0.99  # of a file's bytes: tensors beyond have no bar, but a line of the table


def compress_section(cards: Sequence[CompressedCard]) -> Section | None:
    """Returns the section about all compressed networks of a run; None if there are none."""
    if not cards:
        return None
    figures = {"compress-scores": scores_figure(cards, cards[0].metrics[0])}
    networks = []
    for index, card in enumerate(cards):
        stages, tensors = f"compress-stages-{index}", f"compress-tensors-{index}"
        figures |= {stages: stages_figure(card), tensors: tensors_figure(card)}
        networks.append(
            {
                "title": f"{card.name}: {card.source}",
                "lead": f"{card.dense_bytes:,} bytes became {card.bytes:,}, {ratio_text(card.dense_bytes, card.bytes)} "
                "times smaller; scores of the last line are of the network decoded from the file.",
                "file": f"compressed/{card.name}/model.ofaz",
                "columns": stage_titles(card.metrics[0]),
                "rows": stage_cells(card),
                "tensor_columns": TENSOR_TITLES,
                "tensor_rows": tensor_cells(card.stages[-1].tensors),
                "stages": stages,
                "tensors": tensors,
            }
        )
    return Section("compress.html", {"networks": networks}, figures)


def scores_figure(cards: Sequence[CompressedCard], metric: MetricFacts) -> Figure:
    """Returns the metric on test over the bytes of the file (logarithmic): a line for each network, over its stages."""
    traces = []
    for index, card in enumerate(cards):
        own = card.metrics[0]
        scores = [row.scores.test[own.name] for row in card.stages]
        line = lines(
            escape(card.name),
            [float(row.bytes) for row in card.stages],
            [own.shown(score.value) for score in scores],
            color=series_color(index),
            width=2,
        )
        texts = [
            f"{escape(row.stage)}: {row.bytes:,} bytes, {own.text(score)}, {percent_text(row.density)} kept"
            for row, score in zip(card.stages, scores, strict=True)
        ]
        traces.append(
            line | {"mode": "lines+markers", "text": texts, "hovertemplate": "%{text}", "marker": {"size": 7}}
        )
    frame = layout("size of the file", metric.axis("test"), height=420)
    sizes = [float(row.bytes) for card in cards for row in card.stages]
    frame["xaxis"] = logarithmic(frame["xaxis"], sizes, bytes_text)
    return {"data": traces, "layout": frame}


def stages_figure(card: CompressedCard) -> Figure:
    """Returns the bytes after each stage as bars, by what they say."""
    names = [f"{number}. {escape(row.stage)}" for number, row in enumerate(card.stages)]
    return _bars(names, {part: [_part(row, part) for row in card.stages] for part in PARTS}, "bytes", 340)


def tensors_figure(card: CompressedCard) -> Figure:
    """Returns the bytes of the file's largest tensors as bars, by what they say: of those with nearly all bytes."""
    rows = card.stages[-1].tensors
    total, seen, largest = sum(row.bytes for row in rows), 0, set[str]()
    for row in sorted(rows, key=lambda row: -row.bytes)[:MOST_TENSORS]:
        if seen < NEARLY_ALL * total:
            largest.add(row.name)
        seen += row.bytes
    shown = [row for row in rows if row.name in largest]
    names = [escape(row.name) for row in shown]
    return _bars(names, {part: [getattr(row, part) for row in shown] for part in PARTS}, "bytes", 420)


def _part(row: StageRow, part: str) -> int:
    """The bytes of one kind; the rest includes names, checksums and the card."""
    return row.total(part) + (row.head if part == "rest" else 0)


def _bars(names: Sequence[str], parts: dict[str, list[int]], title: str, height: int) -> Figure:
    traces = [
        {
            "type": "bar",
            "name": part,
            "x": list(names),
            "y": sizes,
            "hovertemplate": f"%{{x}}: %{{y:,}} bytes of {part}<extra></extra>",
            "marker": {"color": series_color(index)},
        }
        for index, (part, sizes) in enumerate(parts.items())
    ]
    frame = layout("", title, height)
    frame["barmode"] = "stack"
    frame["xaxis"] |= {"autotickangles": [0, -40, -90]}  # slanted where they have no room
    frame["legend"] |= {"xanchor": "left", "y": 1.02, "yref": "paper"}
    return {"data": traces, "layout": frame}


def gather_compressed(run: RunFolder) -> tuple[CompressedCard, ...]:
    """Returns the cards of the compressed networks of a run that are finished, the smallest file first of each source.

    Raises:
        InvalidInput: a damaged card; names it.
    """
    folders = [path for path in sorted(run.compressed.glob("*/")) if not path.name.endswith((".new", ".old"))]
    cards = [read_record(CompressedFolder(path).card, CompressedCard) for path in folders if is_complete(path)]
    return tuple(sorted(cards, key=lambda card: (card.source, card.bytes, card.name)))
