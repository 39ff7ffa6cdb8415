"""The first minutes of a new user, in one go: `ofa run`, then the studio, where a layer is pruned by hand and tuned.

    python -m benchmarks.first_minutes --folder FOLDER

`ofa run` as it stands (in FOLDER; a run that is there is not made again, and its time is then left out), the studio of
it in a headless Chromium, the stem pruned to 90 %, an epoch of fine-tuning from the largest, an extraction, and its
ONNX file in ONNX Runtime. Prints each step with its seconds and what it showed, as a Markdown table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.gallery import open_studio, studio
from benchmarks.pruning.cells import markdown
from tests.browser import Page, find_browser, open_page
from tests.search.studio.page_controls import figure, press, put, settle

STEM = "layer-stem.conv.weight"
HEIGHT = 1000


class Steps:
    """The steps that were taken, each with its seconds and what it showed."""

    def __init__(self) -> None:
        self.lines: list[list[str]] = []

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Times a step; what it shows is put in the list."""
        shown: list[str] = []
        began = time.monotonic()
        yield shown
        self.lines.append([name, f"{time.monotonic() - began:.1f}", *(shown or [""])])
        print(*self.lines[-1], sep=" | ", file=sys.stderr, flush=True)

    def table(self) -> str:
        """Returns the steps and their sum as Markdown."""
        whole = sum(float(line[1]) for line in self.lines)
        return markdown(["step", "seconds", "what it showed"], [*self.lines, ["together", f"{whole:.0f}", ""]])


def main() -> None:
    """Takes all steps and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("outputs/first_minutes"))
    folder: Path = parser.parse_args().folder.resolve()
    browser = find_browser()
    if browser is None:
        sys.exit("no Chromium was found: apt-get install chromium-headless-shell")
    steps = Steps()
    if not (folder / "report.html").exists():
        with steps.step("`ofa run`") as shown:
            run = ["run", f"run={folder.name}", f"outputs={folder.parent}"]
            subprocess.run([sys.executable, "-m", "search.app.main", *run], check=True)
            shown.append("three subnets and a page")
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        with steps.step("`ofa studio` starts"):
            address = stack.enter_context(studio(folder))
        by_hand(stack.enter_context(open_page(browser, scratch / "profile", (1440, HEIGHT))), address, folder, steps)
    print(steps.table())


def by_hand(page: Page, address: str, folder: Path, steps: Steps) -> None:
    """What a person does in the studio."""
    with steps.step("its page opens") as shown:
        open_studio(page, address, HEIGHT, "light")
        shown.append(figure(page, "score"))
    with steps.step("the stem to 90 %") as shown:
        put(page, STEM, 90)
        shown.append(figure(page, "score"))
    with steps.step("an epoch of fine-tuning") as shown:
        put(page, "teacher", "largest")
        put(page, "epochs", 1, settles=False)
        press(page, "tune")
        page.wait("document.getElementById('history').textContent.startsWith('1 epoch: ')", 300)
        settle(page)
        shown.append(figure(page, "score"))
    with steps.step("an extraction") as shown:
        name = f"by-hand-{int(time.time())}"
        put(page, "extract-name", name)
        press(page, "extract")
        page.wait("!document.getElementById('extract-code').hidden", 120)
        shown.append(f"subnets/{name}")
    with steps.step("the ONNX file in ONNX Runtime") as shown:
        subnet = folder / "subnets" / name
        check = np.load(subnet / "verify.npz")
        session = onnxruntime.InferenceSession(str(subnet / "model.onnx"))
        (logits,) = session.run(["logits"], {"input": check["input"]})
        shown.append(f"off by {np.abs(logits - check['logits']).max():.1e} from the network in torch")


if __name__ == "__main__":
    main()
