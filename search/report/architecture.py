"""Architectures as pictures: widths, depths and kernels beside the supernet's, as inline SVG and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

from search.report.data import Choice

HEIGHT = 132  # of a silhouette, pixels
WIDTH = 320
KINDS = {"depth": "depth", "width": "width", "kernel_size": "kernel"}  # in order, as they are called
BAR_GAP = 3  # between layers
STAGE_GAP = 9  # more, between stages


def silhouette(choices: Sequence[Choice], arch: Mapping[str, int]) -> str:
    """Returns an SVG with a bar a layer, in the model's order: pale the supernet, filled the subnet.

    A layer in a block that is left out is an outline alone. Heights go by the square root of channels.
    """
    widths = [choice for choice in choices if choice.kind == "width"]
    if not widths:
        return ""
    depths = [choice.name for choice in choices if choice.kind == "depth"]
    most = max(choice.values[-1] for choice in widths)
    stages = [stage_of(choice.name, depths) for choice in widths]
    breaks = sum(before != after for before, after in pairwise(stages))
    bar = min(30.0, (WIDTH - STAGE_GAP * breaks) / len(widths) - BAR_GAP)
    x = (WIDTH - len(widths) * (bar + BAR_GAP) - STAGE_GAP * breaks) / 2
    shapes: list[str] = []
    for index, choice in enumerate(widths):
        x += STAGE_GAP if index and stages[index] != stages[index - 1] else 0
        shapes.append(_layer(choice, arch.get(choice.key), x, bar, most))
        x += bar + BAR_GAP
    return (
        f'<svg class="silhouette" role="img" aria-label="layer widths, subnet beside supernet" '
        f'viewBox="0 0 {WIDTH} {HEIGHT}">{"".join(shapes)}</svg>'
    )


def _layer(choice: Choice, value: int | None, x: float, bar: float, most: int) -> str:
    """Returns one layer's bars with what they say when pointed at."""
    full = _height(choice.values[-1], most)
    if value is None:
        said, bars = "left out", _bar(x, bar, full, "left-out")
    else:
        said = f"{value} of {choice.values[-1]}"
        bars = _bar(x, bar, full, "whole") + _bar(x, bar, _height(value, most), "kept")
    return f"<g><title>{escape(choice.name)}: {said}</title>{bars}</g>"


def comparison_table(choices: Sequence[Choice], columns: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """Returns an HTML table: a row a choice, a column a subnet (title, arch)."""
    head = "".join(f"<th>{escape(title)}</th>" for title, _ in columns)
    body = []
    for choice in _by_kind(choices):
        cells = "".join(f"<td>{_cell(choice, arch.get(choice.key))}</td>" for _, arch in columns)
        name = f'<span class="kind">{escape(KINDS.get(choice.kind, choice.kind))}</span>{escape(choice.name)}'
        body.append(f'<tr><th class="name">{name}</th>{cells}</tr>')
    rows = f"<thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<table class="compare">{rows}</table>'


def _by_kind(choices: Sequence[Choice]) -> list[Choice]:
    order = list(KINDS)
    return sorted(choices, key=lambda choice: order.index(choice.kind) if choice.kind in order else len(order))


def _cell(choice: Choice, value: int | None) -> str:
    if value is None:
        return '<span class="absent">left out</span>'
    largest = choice.values[-1]
    picture = _blocks(value, largest) if choice.kind == "depth" and largest <= 16 else _meter(value / largest)
    return f'{picture}<span class="value">{value}<span class="of"> / {largest}</span></span>'


def _blocks(value: int, largest: int) -> str:
    """Returns one square a block, filled where it is kept."""
    styles = ["kept"] * value + ["left-out"] * (largest - value)
    squares = "".join(
        f'<rect x="{13 * index + 1}" y="1" width="10" height="10" rx="2" class="{style}"/>'
        for index, style in enumerate(styles)
    )
    width = max(13 * largest, 96)
    return f'<svg class="cell" viewBox="0 0 {width} 12" width="{width}" height="12">{squares}</svg>'


def _meter(share: float) -> str:
    return (
        '<svg class="cell" viewBox="0 0 96 12" width="96" height="12">'
        '<rect x="1" y="1" width="94" height="10" rx="2" class="whole"/>'
        f'<rect x="1" y="1" width="{94 * share:.1f}" height="10" rx="2" class="kept"/></svg>'
    )


def _bar(x: float, width: float, height: float, style: str) -> str:
    y = (HEIGHT - height) / 2
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" class="{style}"/>'


def _height(channels: int, most: int) -> float:
    """The height of a bar of so many channels, in pixels."""
    return max(3.0, (HEIGHT - 4) * float((channels / most) ** 0.5))


def stage_of(name: str, depths: Sequence[str]) -> str:
    """Returns the container whose blocks a depth counts that this layer is in, or its first name."""
    inside = [depth for depth in depths if name.startswith(f"{depth}.")]
    return max(inside, key=len) if inside else name.split(".")[0]
