"""The pages of `make docs`: built without a warning, and opened from a folder in a real browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Page, find_browser, open_page
from tests.documentation import ROOT

BROWSER = find_browser()
pytestmark = pytest.mark.slow
in_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
LOOKS = [(width, dark) for width in (1440, 768, 390) for dark in (False, True)]
LOOKED_AT = (
    *("index", "concepts", "gallery", "tutorials/first_subnet", "tutorials/pruning", "compression_results"),
    "reference/ofa.start",
)
FETCHED = (
    "performance.getEntriesByType('resource').map(one => one.name).filter(name => !/^(file|data|blob):/.test(name))"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a strict build."""
    pytest.importorskip("material")
    pytest.importorskip("mkdocstrings")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return folder


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    assert BROWSER is not None
    with open_page(BROWSER, tmp_path_factory.mktemp("browser")) as page:
        yield page


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    import ofa
    import ofa.prune
    import ofa.train
    import search

    for package in (ofa, ofa.train, ofa.prune, search):
        folder = "search" if package is search else package.__name__
        text = (site / f"reference/{folder}.html").read_text()
        for name in package.__all__:
            full = re.escape(f"{package.__name__}.{name}")
            assert re.search(rf"</code>\s+{full}\s", text), full


def test_pages_hold_pictures_and_sources(site: Path) -> None:
    concepts, gallery = ((site / f"{name}.html").read_text() for name in ("concepts", "gallery"))
    assert concepts.count('<svg role="img" aria-label="') == 3
    full_size = re.findall(r'<a class="only-(light|dark)" title="Full size" href="([^"]+-\1\.webp)"><img ', gallery)
    assert len(full_size) == gallery.count(".webp#only-") and all((site / file).is_file() for _, file in full_size)
    assert (site / "source/examples/notebooks/quickstart.html").is_file()
    assert "../source/examples/search_in_python.py.html" not in (site / "index.html").read_text()


@in_browser
@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_nothing_is_cut_fetched_or_hard_to_read(page: Page, site: Path, width: int, dark: bool) -> None:
    page.look(width, dark=dark)
    page.open((site / "index.html").as_uri())
    page.wait("document.readyState === 'complete'")
    page.value("localStorage.clear()")  # the theme that was chosen last
    for name in LOOKED_AT:
        page.open((site / f"{name}.html").as_uri())
        page.wait("document.readyState === 'complete' && document.querySelector('article h1') !== null")
        scheme = page.value("document.body.dataset.mdColorScheme")
        assert scheme == ("slate" if dark else "default")
        assert page.value("document.documentElement.scrollWidth") <= width, name
        assert page.value(FETCHED) == [], name
        assert page.barriers() == [], name
    assert page.errors == []


@in_browser
def test_no_page_is_wider_than_a_telephone(page: Page, site: Path) -> None:
    page.look(390)
    wide = []
    for path in sorted(site.rglob("*.html")):
        if "source" not in path.relative_to(site).parts:
            page.open(path.as_uri())
            page.wait("document.readyState === 'complete'")
            wide += [path.name] if page.value("document.documentElement.scrollWidth") > 390 else []
    assert wide == [] and page.errors == []


@in_browser
def test_the_search_finds_a_name_from_a_folder(page: Page, site: Path) -> None:
    page.look(1440)
    page.open((site / "index.html").as_uri())
    page.wait("document.readyState === 'complete'")
    page.value("document.querySelector('.md-search__input').focus()")
    page.value(f"document.execCommand('insertText', false, {json.dumps('peak_activation_bytes')})")
    page.wait("document.querySelectorAll('.md-search-result__item').length > 0")
    assert page.value(FETCHED) == [] and page.errors == []
