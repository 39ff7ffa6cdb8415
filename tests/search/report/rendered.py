"""Sections and pages as tests look at them."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from search.report.document import Section, section_html
from search.report.figures import Figure

VOID = {"meta", "rect", "br"}


def rendered(*sections: Section | None) -> tuple[str, dict[str, Figure]]:
    """Returns the HTML of sections one after the other, and their figures by name; nothing of None."""
    shown = [section for section in sections if section is not None]
    figures = {name: figure for section in shown for name, figure in section.figures.items()}
    return "".join(map(section_html, shown)), figures


def texts(picture: str) -> list[str]:
    """Returns the texts of an SVG file, in order."""
    root = ElementTree.fromstring(picture)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]


class Structure(HTMLParser):
    """Checks that elements close in order, and collects ids, text and links."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids += [value for name, value in values.items() if name == "id" and value]
        found = [value for name, value in values.items() if name in ("src", "href") and value]
        if tag == "a":  # fetched when somebody asks; only files beside the page
            assert not any(":" in link or link.startswith(("/", "..")) for link in found)
        else:
            self.links += found
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Structure:
    structure = Structure()
    structure.feed(page)
    return structure


def figures_in(page: str) -> dict[str, dict[str, list[dict[str, object]]]]:
    (payload,) = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', page)
    return dict(json.loads(payload))
