"""Pictures of an architecture beside the supernet, in SVG: in a page or as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from search.report.data import Choice
from search.report.document import picture

HEIGHT = 132  # pixels of a silhouette
WIDTH = 320
KINDS = {
    "depth": "depth",
    "width": "width",
    "kernel_size": "kernel",
    "operator": "operator",
    "resolution": "resolution",
}  # in order, with their readable names
BAR_GAP = 3  # between layers
STAGE_GAP = 9  # additional, between stages
MOST_BLOCKS = 16  # blocks that are drawn, each as a square

PICTURE_WIDTH = 960  # pixels of a file
COLUMNS = 3
ROW = 19
MARGIN = 20
NAME_LENGTH = 21  # characters


@dataclass(frozen=True)
class Bar:
    """A rectangle in pixels; `style` is its class in the style sheet."""

    x: float
    y: float
    width: float
    height: float
    style: str


@dataclass(frozen=True)
class LayerBars:
    """The bars of one layer, and its tooltip."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Cell:
    """The value of one choice beside its largest one; None for a choice in a block that is left out."""

    value: int | None
    largest: int
    blocks: bool = False  # whether it is drawn as one square per block

    @property
    def share(self) -> float:
        """The value as a fraction of the largest."""
        return (self.value or 0) / self.largest


def silhouette(choices: Sequence[Choice], arch: Mapping[str, int]) -> tuple[LayerBars, ...]:
    """Returns a bar for each layer, in the model's order: the supernet pale, the subnet filled; empty without widths.

    A layer in a block that is left out is only an outline. Heights are proportional to the square root of channels.
    """
    widths = [choice for choice in in_model_order(choices) if choice.kind == "width"]
    if not widths:
        return ()
    depths = [choice.name for choice in choices if choice.kind == "depth"]
    most = max(choice.values[-1] for choice in widths)
    stages = [stage_of(choice.name, depths) for choice in widths]
    breaks = sum(before != after for before, after in pairwise(stages))
    bar = min(30.0, (WIDTH - STAGE_GAP * breaks) / len(widths) - BAR_GAP)
    x = (WIDTH - len(widths) * (bar + BAR_GAP) - STAGE_GAP * breaks) / 2
    layers = []
    for index, choice in enumerate(widths):
        x += STAGE_GAP if index and stages[index] != stages[index - 1] else 0
        layers.append(_layer(choice, arch.get(choice.key), x, bar, most))
        x += bar + BAR_GAP
    return tuple(layers)


def comparison_rows(choices: Sequence[Choice], archs: Sequence[Mapping[str, int]]) -> list[tuple[str, str, list[Cell]]]:
    """Returns one row for each choice, depths first: its kind, its name, and a cell for each Arch."""
    order = list(KINDS)
    by_kind = sorted(
        in_model_order(choices), key=lambda choice: order.index(choice.kind) if choice.kind in order else len(order)
    )
    return [
        (KINDS.get(choice.kind, choice.kind), choice.name, [_cell(choice, arch) for arch in archs])
        for choice in by_kind
    ]


def in_model_order(choices: Sequence[Choice]) -> list[Choice]:
    """Returns choices as the model has their layers: numbers count up, other names stay in the order of the space.

    A space has depths before all others, and what is in blocks that can be left out after them.
    """
    layers = sorted(choices, key=lambda choice: choice.kind == "depth")
    parts = [part for choice in layers for part in choice.name.split(".")]
    first = {part: index for index, part in reversed([*enumerate(parts)])}

    def rank(choice: Choice) -> list[tuple[bool, int]]:
        return [
            (not part.isdecimal(), int(part) if part.isdecimal() else first[part]) for part in choice.name.split(".")
        ]

    return sorted(choices, key=rank)


def stage_of(name: str, depths: Sequence[str]) -> str:
    """Returns the stage of a layer: the innermost container with a depth, or else the first part of its name."""
    inside = [depth for depth in depths if name.startswith(f"{depth}.")]
    return max(inside, key=len) if inside else name.split(".")[0]


def shortened(name: str, length: int) -> str:
    """Returns a name cut to at most `length` characters; its end is kept, as the more informative part."""
    return name if len(name) <= length else f"…{name[1 - length :]}"


def arch_picture(
    choices: Sequence[Choice], arch: Mapping[str, int], title: str = "", settings: Mapping[str, object] | None = None
) -> str:
    """Returns an SVG file: one bar for each layer as in `silhouette`, then every choice with its value and largest one.

    Args:
        choices: the choices of the space, in the model's order.
        arch: the values by key; a choice that is missing is in a block that is left out.
        title: a line above.
        settings: other chosen values, shown after the choices.
    """
    layers = silhouette(choices, arch)
    rows = [_picture_row(choice, arch) for choice in in_model_order(choices) if len(choice.values) > 1]
    rows += [{"kind": "setting", "name": name, "text": str(value)} for name, value in (settings or {}).items()]
    lines = -(-len(rows) // COLUMNS)
    step = (PICTURE_WIDTH - 2 * MARGIN) / COLUMNS
    layers_height = round((PICTURE_WIDTH - 2 * MARGIN) * HEIGHT / WIDTH * 0.6)
    layers_y = MARGIN + (30 if title else 0)
    rows_y = layers_y + (layers_height + 16 if layers else 0)
    for number, row in enumerate(rows):
        column, line = divmod(number, lines)
        row |= {
            "x": f"{MARGIN + column * step:.0f}",
            "y": rows_y + line * ROW,
            "name": shortened(row["name"], NAME_LENGTH),
        }
    return picture(
        "architecture.svg",
        title=title,
        layers=layers,
        layers_y=layers_y,
        layers_height=layers_height,
        rows=rows,
        width=PICTURE_WIDTH,
        height=rows_y + lines * ROW + MARGIN,
        margin=MARGIN,
    )


def _layer(choice: Choice, value: int | None, x: float, width: float, most: int) -> LayerBars:
    full = _height(choice.values[-1], most)
    if value is None:
        return LayerBars(f"{choice.name}: left out", (_bar(x, width, full, "left-out"),))
    bars = _bar(x, width, full, "whole"), _bar(x, width, _height(value, most), "kept")
    return LayerBars(f"{choice.name}: {value} of {choice.values[-1]}", bars)


def _bar(x: float, width: float, height: float, style: str) -> Bar:
    return Bar(x, (HEIGHT - height) / 2, width, height, style)


def _height(channels: int, most: int) -> float:
    """The height of a bar for a number of channels, in pixels."""
    return max(3.0, (HEIGHT - 4) * float((channels / most) ** 0.5))


def _cell(choice: Choice, arch: Mapping[str, int]) -> Cell:
    largest = choice.values[-1]
    return Cell(arch.get(choice.key), largest, choice.kind == "depth" and largest <= MOST_BLOCKS)


def _picture_row(choice: Choice, arch: Mapping[str, int]) -> dict[str, Any]:
    return {"kind": KINDS.get(choice.kind, choice.kind), "name": choice.name, "cell": _cell(choice, arch)}
