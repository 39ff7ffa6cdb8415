"""Pages and pictures from the templates beside this module, and their palette; templates escape all text."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from search.report.figures import Figure
from search.text import bytes_text, capitalized, count_text, limits_text, ms_text, percent_text, signed_points

LIGHT = {
    "page": "#fbfbfa",
    "card": "#ffffff",
    "ink": "#1c1d21",
    "muted": "#63656e",
    "grid": "#e6e6e3",
    "faint": "#b9bac0",
    "accent": "#2a54de",
    "soft": "#dfe6fd",
    "second": "#0b7a6b",
    "star": "#c8441c",
    "dot": "#8ea3e8",
    "limit": "#8a6d1f",
}
DARK = {
    "page": "#131418",
    "card": "#1b1d22",
    "ink": "#eceded",
    "muted": "#a2a5b0",
    "grid": "#2d3037",
    "faint": "#6f7482",
    "accent": "#86a3ff",
    "soft": "#26335e",
    "second": "#45cdb8",
    "star": "#ff8a5e",
    "dot": "#6e85d4",
    "limit": "#d9b755",
}
SERIES = ("$accent", "$star", "$second", "$limit", "$dot", "$muted")
KINDS = {
    "depth": "$accent",
    "width": "$dot",
    "kernel_size": "$second",
    "operator": "$faint",
    "resolution": "$limit",
    "setting": "$star",
}  # of choices
LEVELS = {"ticket": "$accent", "reinit": "$star", "random": "$faint"}  # of lottery tickets


def series_color(index: int) -> str:
    """Returns the color of a series by its index; after the last color they repeat."""
    return SERIES[index % len(SERIES)]


def series_dash(index: int) -> str:
    """Returns the dash of a series by its index; series of one color have different ones, up to 18 series."""
    return ("solid", "dot", "dash")[index // len(SERIES) % 3]


def light(value: Any) -> Any:
    """Returns a figure with the light colors in place of color names, for pages that do not know these."""
    if isinstance(value, str) and value.startswith("$"):
        return LIGHT.get(value[1:], value)
    if isinstance(value, Mapping):
        return {key: light(inner) for key, inner in value.items()}
    return [light(inner) for inner in value] if isinstance(value, list | tuple) else value


NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Section:
    """One part of a page.

    Attributes:
        template: the name of its file in `templates`.
        values: the variables of the template.
        figures: Plotly figures, by the id of their box in the template.
    """

    template: str
    values: Mapping[str, object] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)


@dataclass(frozen=True)
class Card:
    """A card of a subnet: its title, score, label below it, picture, and figures by label.

    Attributes:
        layers: the picture, from `search.report.pictures.silhouette`.
    """

    title: str
    score: str
    label: str
    layers: Sequence[object]
    facts: Mapping[str, str]


def header(eyebrow: str, headline: str, lead: str, facts: Mapping[str, str]) -> Section:
    """Returns the head of a page: a line above the headline, a sentence below it, and facts by label."""
    return Section("header.html", {"eyebrow": eyebrow, "headline": headline, "lead": lead, "summary": facts})


def footer(
    title: str,
    commands: Sequence[str],
    versions: Mapping[str, str],
    digests: Mapping[str, str] | None = None,
    config: str = "",
) -> Section:
    """Returns the end of a page: the commands and versions that reproduce it."""
    values = {"title": title, "commands": commands, "versions": versions, "digests": digests or {}, "config": config}
    return Section("footer.html", values)


def document(title: str, sections: Sequence[Section]) -> str:
    """Returns a self-contained page: styles, scripts and figures are inline, nothing is fetched."""
    return _ENVIRONMENT.get_template("page.html").render(
        title=title,
        light=LIGHT,
        dark=DARK,
        sections=[section_html(section) for section in sections],
        figures={name: figure for section in sections for name, figure in section.figures.items()},
        plotly=_plotly(),
    )


@cache
def _plotly() -> str:
    """The part of plotly.js that draws lines, points and bars, compressed: a third of its size, also as base64."""
    script = files("search.report") / "vendored" / "plotly-basic.min.js"
    return base64.b64encode(gzip.compress(script.read_bytes(), mtime=0)).decode()


def section_html(section: Section) -> str:
    """Returns the HTML of one section."""
    return _ENVIRONMENT.get_template(section.template).render(section.values)


def picture(template: str, **values: Any) -> str:
    """Returns an SVG file from a template; it has the light colors, since an image cannot use those of the page."""
    return _ENVIRONMENT.get_template(template).render(values, light=LIGHT) + "\n"


def with_units(text: str) -> str:
    """Returns the text with no line break between a number and its unit or sign."""
    joined = text.replace(" %", f"{NO_BREAK_SPACE}%").replace(" ms", f"{NO_BREAK_SPACE}ms")
    return joined.replace("≤ ", f"≤{NO_BREAK_SPACE}")


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("search.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    texts = (bytes_text, capitalized, count_text, limits_text, ms_text, percent_text, signed_points, with_units)
    environment.filters |= {function.__name__: function for function in texts}
    return environment


_ENVIRONMENT = _environment()
