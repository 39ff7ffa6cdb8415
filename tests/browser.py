"""A real browser for tests: headless Chromium, driven through its own debugging pipe, so nothing else is needed.

Source: the Chrome DevTools Protocol; with --remote-debugging-pipe Chromium reads commands, JSON that ends in a zero
byte, from descriptor 3 and writes answers and events to descriptor 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome")
AXE = Path(__file__).with_name("vendored") / "axe.min.js"  # of axe-core, under MPL-2.0
SECONDS = 60.0  # the longest wait for anything: two busy cores draw a page of plots slowly


def find_browser() -> str | None:
    """Returns the path of an installed Chromium, None where there is none."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


# The pipes are moved out of the way first: either may be 3 or 4 already.
LAUNCHER = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3)
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


@dataclass
class Page:
    """One page: looked at by expressions of JavaScript, which see what a person would."""

    commands: int
    events: int
    session: str = ""
    errors: list[str] = field(default_factory=list)  # uncaught ones, of every page that was opened
    _buffer: bytes = b""
    _last: int = 0

    def open(self, url: str) -> None:
        """Goes to an address; what it draws is waited for by `wait`."""
        self.send("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """Returns what a JavaScript expression gives, awaited where it is a promise."""
        options = {"returnByValue": True, "awaitPromise": True}
        result = self.send("Runtime.evaluate", expression=expression, **options)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition: str, seconds: float = SECONDS) -> Any:
        """Returns the value of an expression as soon as it is true; fails with the page's text where it stays false."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.value(condition):
                return found
            time.sleep(0.1)
        raise AssertionError(f"never true: {condition}; the page says {self.text()[:2000]!r}")

    def wait_for_text(self, text: str) -> None:
        """Waits until the page shows a text."""
        self.wait(f"document.body !== null && document.body.innerText.includes({json.dumps(text)})")

    def text(self) -> str:
        """Returns all text that the page shows."""
        return str(self.value("document.body ? document.body.innerText : ''"))

    def look(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Shows what is opened from now on `width` pixels wide, as on a telephone where that is narrow."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def barriers(self) -> list[str]:
        """Returns what axe-core calls serious or critical for people with disabilities, with the element."""
        self.value(AXE.read_text(encoding="utf-8") + "; 0")
        found = self.value("axe.run(document, {resultTypes: ['violations']}).then(result => result.violations)")
        return [
            f"{rule['id']} ({rule['impact']}): {node['html'][:200]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]

    def screenshot(self, path: Path) -> None:
        """Writes a PNG of the page."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Returns the answer to a command of the protocol."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self._last:
            if answer.get("method") == "Runtime.exceptionThrown":
                details = answer["params"]["exceptionDetails"]
                self.errors.append(str(details.get("exception", details).get("description", details)))
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self.events], [], [], SECONDS)[0]:
                raise AssertionError(f"the browser was silent for {SECONDS:.0f} s")
            part = os.read(self.events, 1 << 20)
            if not part:
                raise AssertionError("the browser ended")
            self._buffer += part
        first, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(first))


@contextmanager
def open_page(browser: str, profile: Path, size: tuple[int, int] = (1400, 1800)) -> Iterator[Page]:
    """Gives a page of a new browser, which ends with it; `profile` is an empty folder for its files."""
    to_browser, commands = os.pipe()
    events, from_browser = os.pipe()
    arguments = [
        browser,
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-sandbox",  # root has none, as in a container
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={profile}",
        f"--window-size={size[0]},{size[1]}",
        "about:blank",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(to_browser), str(from_browser), *arguments],
        pass_fds=(to_browser, from_browser),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(from_browser)
    try:
        page = Page(commands, events)
        target = page.send("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            page.send(f"{domain}.enable")
        yield page
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(commands)
        os.close(events)
