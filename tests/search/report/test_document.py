"""Templates: text is escaped, a value that is missing is an error, and no file of theirs is left over."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import search.report
from search.report.document import Section, document, header, section_html, with_units
from tests.search.report.rendered import figures_in, parsed

FOLDER = Path(search.report.__file__).parent
EVIL = "<img src=x onerror='alert(\"1\")'>"


def test_all_text_is_escaped() -> None:
    html = section_html(header(EVIL, EVIL, EVIL, {EVIL: EVIL}))
    assert "<img" not in html and unescape(html).count(EVIL) == 5
    page = document(EVIL, [header("", "", "", {})])
    assert "<img" not in page.split("<main>")[0] and parsed(page).links == []


def test_figures_cannot_end_their_script() -> None:
    figure = {"data": [{"name": "</script><img src=x>"}], "layout": {}}
    page = document("title", [Section("training.html", {"metric": "accuracy"}, figures={"training": figure})])
    assert figures_in(page) == {"training": figure}
    assert "<img" not in page.rsplit("</main>")[1].split('id="figures">')[1]


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'headline' is undefined"):
        section_html(Section("header.html", {"eyebrow": "", "lead": "", "summary": {}}))


def test_a_number_stays_with_its_unit() -> None:
    assert with_units("≤ 2.10 ms, 93 % of 4 layers").split(" ") == [
        "≤\N{NO-BREAK SPACE}2.10\N{NO-BREAK SPACE}ms,",
        "93\N{NO-BREAK SPACE}%",
        "of",
        "4",
        "layers",
    ]


def test_every_template_is_used() -> None:
    files = [*FOLDER.glob("*.py"), *(FOLDER / "templates").iterdir()]
    text = "".join(path.read_text() for path in files)
    unused = [path.name for path in (FOLDER / "templates").iterdir() if f'"{path.name}"' not in text]
    assert not unused
