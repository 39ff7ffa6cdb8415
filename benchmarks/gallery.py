"""Pictures of the pages that verbs write and of the studio, for docs/gallery.md: a run on bundled data, then a browser.

    python -m benchmarks.gallery                # some minutes; a run that is there is not made again
    python -m benchmarks.gallery --pictures     # of the run that is there

Needs Chromium, as the tests of pages do.
"""

from __future__ import annotations

import argparse
import base64
import html
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser import Page, find_browser, open_page
from tests.search.studio.page_controls import SCORED, press, put, settle

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs/images/gallery"
RUN = "run=gallery"
SEEDS = ("study=sweep", "search.latency_fractions=[0.5,0.8]", "seed=0,1,2", "search.evaluations=20")
COMMANDS = (
    ("run", RUN),
    ("prune", RUN, "--multirun", "model=lenet300", "dense.epochs=15", "prune=cubic,rigl,lottery"),
    ("search", RUN, "--multirun", *SEEDS, "search.finalists.seconds=3"),
    ("report", RUN),
)
# Parts of pages by the text of their heading; None: the top. Width and height in pixels.
PARTS = {
    "report": ("report.html", None, 1100),
    "front": ("report.html", "Accuracy and latency", 760),
    "latency": ("report.html", "Latency prediction", 640),
    "pruning": ("report.html", "Pruned networks", 900),
    "sweep": ("sweep.html", None, 1000),
}
WIDTH = 1200


def main() -> None:
    """Runs what is missing and writes a WebP picture of each part, light and dark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", action="store_true", help="of the run that is there")
    parser.add_argument("--folder", type=Path, default=Path("outputs/gallery"))
    options = parser.parse_args()
    for command in () if options.pictures else COMMANDS:
        ofa(*command)
    browser = find_browser()
    if browser is None:
        sys.exit("no Chromium was found: apt-get install chromium-headless-shell")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        inspected = Path(scratch) / "inspect.html"
        inspected.write_text(terminal(ofa("inspect", "model=mobilenet", "input_shape=[3,32,32]")))
        with open_page(browser, Path(scratch) / "profile", (WIDTH, 1000)) as page:
            for name, (file, heading, height) in PARTS.items():
                for scheme in ("light", "dark"):
                    take(page, options.folder / file, heading, height, scheme, PICTURES / f"{name}-{scheme}.webp")
            for scheme in ("light", "dark"):
                take(page, inspected, None, 700, scheme, PICTURES / f"inspect-{scheme}.webp")
            with studio(options.folder) as address:
                for scheme in ("light", "dark"):
                    shape_by_hand(page, address, scheme, PICTURES / f"studio-{scheme}.webp")
                    train_tickets(page, address, scheme, PICTURES / f"tickets-{scheme}.webp")


def ofa(*arguments: str) -> str:
    """Returns what a verb printed."""
    command = [sys.executable, "-m", "search.app.main", *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def terminal(text: str) -> str:
    """Returns a page that shows text as a terminal does."""
    style = "body{margin:24px;font:14px/1.5 ui-monospace,'DejaVu Sans Mono',monospace;color:#1c1d21;background:#fbfbfa}"
    dark = "@media(prefers-color-scheme:dark){body{color:#eceded;background:#131418}}pre{white-space:pre-wrap}"
    return f"<!doctype html><meta charset=utf-8><style>{style}{dark}</style><pre>{html.escape(text)}</pre>"


def take(page: Page, file: Path, heading: str | None, height: int, scheme: str, picture: Path) -> None:
    """Writes a picture of a page from a heading on."""
    page.look(WIDTH, height, dark=scheme == "dark")
    page.send("Emulation.setScrollbarsHidden", hidden=True)
    page.open(file.resolve().as_uri())
    page.wait("document.readyState === 'complete' && document.body.innerText.length > 100")
    # Plots are drawn when they come into sight.
    page.value("new Promise(done => { scrollTo(0, document.body.scrollHeight); setTimeout(done, 2500) })")
    headings = "[...document.querySelectorAll('h2, h3')]"
    found = f"{headings}.find(one => one.innerText.toLowerCase().includes({(heading or '').lower()!r}))"
    top = (
        0
        if heading is None
        else page.value(f"(one => one ? one.getBoundingClientRect().top + scrollY - 24 : -1)({found})")
    )
    if top < 0:
        sys.exit(f"{file} has no heading {heading!r}: {page.value(f'{headings}.map(one => one.innerText).join()')}")
    page.value(f"new Promise(done => {{ scrollTo(0, {top}); setTimeout(done, 1500) }})")
    write(page, picture)


@contextmanager
def studio(folder: Path) -> Iterator[str]:
    """Gives the address of a studio of the run in a folder."""
    command = [
        sys.executable,
        "-m",
        "search.app.main",
        "studio",
        f"run={folder.name}",
        f"outputs={folder.parent}",
        "port=0",
    ]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as process:
        try:
            assert process.stderr is not None
            yield next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()


def open_studio(page: Page, address: str, height: int, scheme: str) -> None:
    """Opens a page of the studio and waits for its first score."""
    page.look(WIDTH, height, dark=scheme == "dark")
    page.send("Emulation.setScrollbarsHidden", hidden=True)
    page.open("about:blank")
    page.open(address)
    page.wait(SCORED)
    settle(page)


def shape_by_hand(page: Page, address: str, scheme: str, picture: Path) -> None:
    """Writes a picture of the studio with a layer pruned to 90 %, beside the network as it was."""
    open_studio(page, address, 1240, scheme)
    press(page, "pin")
    page.wait("document.querySelectorAll('#figures thead th').length === 4")
    put(page, "layer-stem.conv.weight", 90)
    page.wait("document.querySelector('[data-figure=ofaz_bytes] small').textContent.startsWith('coded')")
    page.value("document.getElementById('now').style.position = 'static'")
    write(page, picture)


def train_tickets(page: Page, address: str, scheme: str, picture: Path) -> None:
    """Writes a picture of the lottery tickets that the page for a class has trained."""
    open_studio(page, f"{address}#tickets", 1330, scheme)
    page.value("document.querySelector('form[data-lesson=tickets]').requestSubmit()")
    page.wait("document.getElementById('live').textContent === 'tickets: done'", 300)
    write(page, picture)


def write(page: Page, picture: Path) -> None:
    """Writes what the page shows as a WebP picture."""
    picture.write_bytes(base64.b64decode(page.send("Page.captureScreenshot", format="webp", quality=82)["data"]))


if __name__ == "__main__":
    main()
