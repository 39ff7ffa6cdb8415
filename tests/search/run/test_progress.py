"""Progress: few plain lines where there is no terminal."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from search.run.progress import _lines, duration, in_notebook, progress_shown, say, stage_progress


def test_lines_come_every_few_seconds_and_at_the_end() -> None:
    stream, now = io.StringIO(), [0.0]
    update = _lines("train", stream, lambda: now[0])
    for done in range(1, 101):
        now[0] += 0.2
        update(done, 100, "loss 1.000")
    lines = stream.getvalue().splitlines()
    assert 4 <= len(lines) <= 6
    assert lines[-1] == "train: 100/100, 20 s, loss 1.000"
    assert " left, loss" in lines[1]


def test_remaining_time_of_resumed_work_counts_from_where_it_resumed() -> None:
    stream, now = io.StringIO(), [0.0]
    update = _lines("train", stream, lambda: now[0])
    update(90, 100)
    now[0] = 10.0
    update(95, 100)
    assert stream.getvalue().splitlines()[-1] == "train: 95/100, 10 s, 10 s left"


def test_plain_lines_are_chosen_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    with stage_progress("search", stream) as update:
        update(3, 3, "[bold]98 %[/bold]")
    assert stream.getvalue() == "search: 3/3, 0 s, [bold]98 %[/bold]\n"


def test_durations_are_read_easily() -> None:
    assert [duration(seconds) for seconds in (4.2, 200, 7500)] == ["4 s", "3 min 20 s", "2 h 05 min"]


def test_silenced_work_shows_nothing_and_what_follows_is_shown() -> None:
    stream = io.StringIO()
    with progress_shown(False):
        with stage_progress("search", stream) as update, progress_shown(True):
            update(1, 1)  # begun in silence
        say("done", stream)
    assert stream.getvalue() == ""
    with progress_shown(True), stage_progress("search", stream) as update:
        update(1, 1)
    say("done", stream)
    assert stream.getvalue() == "search: 1/1, 0 s\ndone\n"


def test_a_test_is_no_notebook() -> None:
    assert not in_notebook()


def test_messages_in_a_notebook_are_not_shown_like_errors(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    say("profile: done")
    assert capsys.readouterr() == ("profile: done\n", "")
    monkeypatch.delitem(sys.modules, "IPython")
    say("profile: done")
    assert capsys.readouterr() == ("", "profile: done\n")
