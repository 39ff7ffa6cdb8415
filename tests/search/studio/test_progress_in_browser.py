"""A network whose score takes long: the page says how far it is, stays usable, and the newest move wins."""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from torch import nn

from search.config.compressing import StudioSetting
from search.studio import pacing
from search.studio.judging import metric_of, score_of
from search.studio.opened import Opened
from search.studio.shaping import Workbench
from tests.browser import Page
from tests.search.studio.conftest import served
from tests.search.studio.page_controls import at_rest, figure, put, settle, text

pytestmark = pytest.mark.slow
IDLE = "document.getElementById('bar').classList.contains('idle')"


@dataclass
class Slow:
    """A network that takes a tenth of a second for the parts in which the studio computes it."""

    opened: Opened
    parts: int = 0

    def wait(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        if len(arguments[0]) == pacing.FEWEST:
            self.parts += 1
            time.sleep(0.1)


@pytest.fixture
def slow(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slow]:
    monkeypatch.setattr(pacing, "PART_MACS", 1.0)
    network = copy.deepcopy(opened.full)
    made = Slow(replace(opened, network=network))
    handle = network.register_forward_pre_hook(lambda module, arguments: made.wait(module, arguments))
    yield made
    handle.remove()


def test_it_says_how_far_it_is_and_the_next_move_ends_it(slow: Slow, browser: Page) -> None:
    with served(slow.opened) as url, at_rest(browser, url) as page:
        assert page.value(IDLE)
        whole = slow.parts  # of the score alone
        slow.parts = 0
        put(page, "sparsity", 50, settles=False)
        page.wait(f"!{IDLE}")
        assert re.fullmatch(r"\d+ %, (norm statistics from|scored) \d+ of [\d,]+ examples", text(page, "#working"))
        assert 0 <= page.value("document.getElementById('bar').position") < 1
        assert text(page, "#summary").startswith("…")  # not the score of what was there before
        assert slow.parts < whole
        put(page, "sparsity", 80, settles=False)
        assert (
            text(page, "#sparsity-text") == "80 %" and page.value("document.getElementById('undo').disabled") is False
        )
        settle(page)
        assert page.value(IDLE)
        once = slow.parts
        shaped = Workbench(slow.opened).shape(StudioSetting(sparsity=0.8), lambda piece: None)
        assert figure(page, "score") == metric_of(slow.opened).text(score_of(shaped, slow.opened, lambda piece: None))
        assert once < 2 * (slow.parts - once)  # what was superseded was not computed to its end
