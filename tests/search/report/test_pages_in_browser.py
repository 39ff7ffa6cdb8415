"""Every page in a real browser, wide and narrow, light and dark: nothing cut, nothing over another, no barriers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search.report.live import live_page
from search.report.page import render
from search.report.sweep_page import render_sweep
from tests.browser import Page, find_browser, open_page
from tests.search.report.analyzed_example import analyzed
from tests.search.report.compared_example import compared_example
from tests.search.report.example import example
from tests.search.report.sweep_example import sweep_example
from tests.search.report.test_compress_section import card
from tests.search.report.test_live import live_example
from tests.search.report.test_prune_section import MANY

BROWSER = find_browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed: apt-get install chromium-headless-shell"),
]
LOOKS = [(width, dark) for width in (1440, 768, 390) for dark in (False, True)]

DRAWN = """document.readyState === 'complete' && (document.getElementById('figures') === null ||
  typeof figures !== 'undefined' && Object.keys(figures).every(id => document.querySelector(`#${id} .main-svg`)))"""

# Pairs of texts of a figure that cover each other, as "first | second", and texts that leave their figure.
COVERED = """[...document.querySelectorAll('.js-plotly-plot, .picture')].flatMap(plot => {
  const frame = plot.getBoundingClientRect();
  const all = '.legendtext, .annotation-text, .xtitle, .ytitle, .y2title, .xtick text, svg[role=img] text';
  const texts = [...plot.querySelectorAll(all)]
    .map(text => [text.textContent, text.getBoundingClientRect()]).filter(([, box]) => box.width > 0);
  const over = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  const outside = texts.filter(([, box]) => box.left < frame.left - 8 || box.right > frame.right + 8
    || box.top < frame.top - 8 || box.bottom > frame.bottom + 8).map(([text]) => `${plot.id}: ${text} is cut`);
  return texts.flatMap(([one, box], i) => texts.slice(i + 1).filter(([, other]) => over(box, other))
    .map(([other]) => `${plot.id}: ${one} | ${other}`)).concat(outside);
})"""

# Texts of drawings that leave them, which are not shown there.
CLIPPED = """[...document.querySelectorAll('.picture svg text')].filter(text => {
  const [inner, outer] = [text, text.closest('svg')].map(one => one.getBoundingClientRect());
  return inner.left < outer.left || inner.right > outer.right || inner.top < outer.top || inner.bottom > outer.bottom;
}).map(text => text.textContent)"""

# Heights, in pixels, that the pictures and the facts of cards in one row differ by.
UNEVEN = """[...document.querySelectorAll('.cards')].flatMap(row => ['.label', 'svg', 'dl'].map(part => {
  const tops = [...row.querySelectorAll('.card')].map(card => [card.offsetTop, card.querySelector(part)])
    .filter(([, found]) => found).map(([top, found]) => [top, found.getBoundingClientRect().top]);
  const ofRow = tops.filter(([top]) => top === tops[0][0]).map(([, at]) => at);
  return ofRow.length ? Math.round(Math.max(...ofRow) - Math.min(...ofRow)) : 0;
}))"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Returns a page with every section of a report, one of pruned networks alone, one of a sweep, and a live one."""
    data = example()
    full = replace(
        data,
        devices=(*data.devices, analyzed(60)),
        compared=compared_example(),
        pruned=MANY,
        compressed=(card("small"),),
    )
    texts = {
        "report": render(full),
        "pruned": render(replace(data, config="", devices=(), history=(), choices=(), pruned=MANY)),
        "sweep": render_sweep(sweep_example()),
        "live": live_page("ofa run, run main", live_example(), "stopped"),
    }
    folder = tmp_path_factory.mktemp("pages")
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text)
    return {name: folder / f"{name}.html" for name in texts}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert BROWSER is not None
    with open_page(BROWSER, tmp_path_factory.mktemp("browser")) as page:
        yield page


def test_every_page_is_small(pages: dict[str, Path]) -> None:
    assert {name: path.stat().st_size < 1.5e6 for name, path in pages.items()} == dict.fromkeys(pages, True)


@pytest.mark.parametrize(("width", "dark"), LOOKS)
@pytest.mark.parametrize("name", ["report", "pruned", "sweep", "live"])
def test_nothing_is_cut_covered_or_hard_to_read(
    page: Page, pages: dict[str, Path], name: str, width: int, dark: bool
) -> None:
    page.look(width, dark=dark)
    page.open(pages[name].as_uri())
    page.wait(DRAWN)
    assert page.value("document.documentElement.scrollWidth") <= width
    if width == 1440:  # narrower, tables scroll, with a shade at the side where they go on
        cut = "[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1)"
        assert page.value(f"{cut}.filter(box => !box.closest('details')).map(box => box.innerText.slice(0, 80))") == []
    assert page.value(COVERED) == [] and page.value(CLIPPED) == []
    assert set(page.value(UNEVEN)) <= {0}
    assert page.barriers() == []
    assert page.errors == []
