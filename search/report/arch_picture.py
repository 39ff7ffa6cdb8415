"""The picture of one architecture as a file of its own: an SVG with all that it chose, beside what it could choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from search.report.architecture import HEIGHT, KINDS, WIDTH, silhouette
from search.report.data import Choice

PICTURE_WIDTH = 960  # pixels
COLUMNS = 3
ROW = 19
MARGIN = 20
METER = 60
METER_AT = 172
NAME_LENGTH = 21  # characters
STYLE = (
    "text{font:11.5px Helvetica,Arial,sans-serif;fill:#1c1d21}.muted{fill:#63656e}.title{font-size:15px}"
    ".kept{fill:#2f5bea}.whole{fill:#dfe6fd}.left-out{fill:none;stroke:#b9bac0;stroke-dasharray:2 2}"
)


def arch_picture(
    choices: Sequence[Choice], arch: Mapping[str, int], title: str = "", settings: Mapping[str, object] | None = None
) -> str:
    """Returns an SVG file: a bar a layer as in `silhouette`, then every choice with its value and the largest one.

    Args:
        choices: of the space, in the model's order.
        arch: the values by key; a choice that is missing is of a block that is left out.
        title: a line above.
        settings: what else was chosen, shown under the choices.
    """
    parts, y = [], MARGIN
    if title:
        parts.append(f'<text class="title" x="{MARGIN}" y="{y + 14}">{escape(title)}</text>')
        y += 30
    if layers := silhouette(choices, arch):
        height = round((PICTURE_WIDTH - 2 * MARGIN) * HEIGHT / WIDTH * 0.6)
        place = f'x="{MARGIN}" y="{y}" width="{PICTURE_WIDTH - 2 * MARGIN}" height="{height}"'
        parts.append(layers.replace("<svg ", f"<svg {place} ", 1))
        y += height + 16
    shown = [_row(choice, arch.get(choice.key)) for choice in choices if len(choice.values) > 1]
    shown += [_setting(name, value) for name, value in (settings or {}).items()]
    rows = -(-len(shown) // COLUMNS)
    step = (PICTURE_WIDTH - 2 * MARGIN) / COLUMNS
    for number, row in enumerate(shown):
        column, line = divmod(number, rows)
        parts.append(f'<g transform="translate({MARGIN + column * step:.0f} {y + line * ROW})">{row}</g>')
    return _file("".join(parts), y + rows * ROW + MARGIN)


def _file(content: str, height: int) -> str:
    """The SVG around its content; white, since where it is shown may be dark."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{PICTURE_WIDTH}" height="{height}" '
        f'viewBox="0 0 {PICTURE_WIDTH} {height}"><style>{STYLE}</style>'
        f'<rect width="{PICTURE_WIDTH}" height="{height}" fill="#ffffff"/>{content}</svg>\n'
    )


def _row(choice: Choice, value: int | None) -> str:
    """One choice: its name, a meter, its value of the largest one."""
    largest = choice.values[-1]
    if value is None:
        bars, said = f'<rect x="0.5" y="2.5" width="{METER - 1}" height="8" class="left-out"/>', "left out"
    else:
        full = f'<rect y="2" width="{METER}" height="9" rx="2" class="whole"/>'
        bars = f'{full}<rect y="2" width="{METER * value / largest:.1f}" height="9" rx="2" class="kept"/>'
        said = f"{value} / {largest}"
    return (
        _named(KINDS.get(choice.kind, choice.kind), choice.name)
        + f'<g transform="translate({METER_AT} 0)">{bars}</g>'
        + (f'<text x="{METER_AT + METER + 7}" y="11">{said}</text>')
    )


def _setting(name: str, value: object) -> str:
    return _named("setting", name) + f'<text x="{METER_AT}" y="11">{escape(str(value))}</text>'


def _named(kind: str, name: str) -> str:
    """The kind and the name, whose end says more than its beginning."""
    short = name if len(name) <= NAME_LENGTH else f"…{name[1 - NAME_LENGTH :]}"
    return f'<text class="muted" y="11">{escape(kind)}</text><text x="46" y="11">{escape(short)}</text>'
