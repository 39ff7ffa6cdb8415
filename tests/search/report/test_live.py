"""The live page: what is told of stages is on it, at most every two seconds, and it ends as the work does."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.report.live import LivePage, StageProgress, live, live_page, stages_of
from search.run.progress import stage_progress

SCORE = "validation accuracy, %"
TRAINED = [{"step": step, "training loss": 2 / step, f"{SCORE}: largest subnet": 90.0 + step} for step in (1, 2, 3)]
FOUND = [{"latency, ms": x, "accuracy, %": 100 * y, "quality": y} for x, y in ((0.1, 0.9), (0.3, 0.8), (0.2, 0.95))]


def live_example() -> dict[str, StageProgress]:
    """Returns stages of a run: a training with curves, a search with a front, and one without a picture."""
    return {
        "train": StageProgress(0.0, 0, 30, 40, "loss 0.500", 90.0, list(TRAINED)),
        "search": StageProgress(0.0, 5, 10, 20, "98 %", 5.0, FOUND),
        "measure": StageProgress(0.0, 0, 4, 4, "<b>", 8.0),
    }


def test_curves_front_and_the_time_left_are_shown() -> None:
    stages = live_example()
    page = live_page("ofa run, run main", stages)
    for said in ("30 of 40, 1 min 30 s", "30 s left", "loss 0.500", "10 of 20, 5 s", "&lt;b&gt;", "location.reload"):
        assert said in page
    assert page.count("<polyline") == 3 and page.count("<circle") == 3  # loss, score, front; candidates
    assert f"<h2>train: {SCORE}</h2>" in page and "</i>largest subnet<" in page
    assert "<h2>search: accuracy, % by latency, ms</h2>" in page and "</i>candidates<" in page
    assert len(page) < 20_000 and "http" not in page
    ended = live_page("title", stages, "done")
    assert "location.reload" not in ended and ">done<" in ended and "s left" not in ended


def test_it_is_written_every_two_seconds_and_at_the_end_of_a_stage(tmp_path: Path) -> None:
    now = [0.0]
    page = LivePage(tmp_path / "live.html", "run", lambda: now[0])
    told = []
    for done in range(5):
        page("train", done, 4, f"loss {done}", {})
        told.append((tmp_path / "live.html").read_text().split("loss ")[1][0])
        now[0] += 0.9
    assert told == ["0", "0", "0", "3", "4"]


def test_a_page_is_made_where_the_run_is_and_says_how_the_work_ended(tmp_path: Path) -> None:
    path = tmp_path / "run/live.html"
    with live(path, "none"):
        pass
    assert not path.parent.exists()
    with live(path, "ofa train"), stage_progress("train") as update:
        path.parent.mkdir()
        update(1, 1, "loss 1", {"step": 1, "training loss": None})
    assert ">done<" in path.read_text()
    with pytest.raises(KeyboardInterrupt), live(path, "ofa train"), stage_progress("train") as update:
        update(1, 2)
        raise KeyboardInterrupt
    assert ">stopped<" in path.read_text()


@pytest.mark.parametrize("other", [None, "supernet.txt"])
def test_work_that_fails_and_leaves_nothing_leaves_no_page(other: str | None, tmp_path: Path) -> None:
    path = tmp_path / "outputs/run/live.html"
    with pytest.raises(ValueError), live(path, "ofa train"), stage_progress("train") as update:
        path.parent.mkdir(parents=True)
        update(1, 2)
        if other is not None:
            (path.parent / other).write_text("what was begun")
        raise ValueError
    assert (tmp_path / "outputs").exists() == path.exists() == (other is not None)
    assert tmp_path.exists()


def test_a_folder_that_was_there_keeps_its_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError), live(tmp_path / "live.html", "ofa train"), stage_progress("train") as update:
        update(1, 2)
        raise ValueError
    assert ">failed<" in (tmp_path / "live.html").read_text()


def test_a_stage_that_ends_before_its_total_has_no_time_left(tmp_path: Path) -> None:
    path = tmp_path / "live.html"
    with live(path, "ofa profile"), stage_progress("profile") as update:
        for done in (0, 5, 13):
            update(done, 40, "measuring")
    assert "13 of 13" in path.read_text() and " left" not in path.read_text().split("<body")[1]


def test_a_resumed_stage_has_its_whole_curve_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "live.html"
    with live(path, "ofa run"), stage_progress("profile <fast>") as update:
        update(3, 3)
    with pytest.raises(KeyboardInterrupt), live(path, "ofa run"), stage_progress("train") as update:
        for step in (1, 2, 3, 4):
            update(step, 9, "", {"step": step, "training loss": 1 / step})
        raise KeyboardInterrupt
    with live(path, "ofa train"), stage_progress("train") as update:  # from its checkpoint at step 2
        update(3, 9, "", {"step": 3, "training loss": 0.5})
    stages = stages_of(path)
    assert list(stages) == ["profile <fast>", "train"] and stages["profile <fast>"].done == 3
    assert [(point["step"], point["training loss"]) for point in stages["train"].points] == [(1, 1), (2, 0.5), (3, 0.5)]
    with live(path, "ofa train"), stage_progress("train") as update:  # anew
        update(1, 9, "", {"step": 1, "training loss": 2.0})
    assert len(stages_of(path)["train"].points) == 1


def test_files_are_named_as_from_the_folder_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "live.html"
    with live(path, "ofa extract"), stage_progress("extract") as update:
        update(1, 1, f"{tmp_path / 'subnets'}/a")
    assert stages_of(path)["extract"].figures == "subnets/a" and str(tmp_path) not in path.read_text()


def test_work_that_is_refused_leaves_the_page_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "live.html"
    with live(path, "ofa train"), stage_progress("train") as update:
        update(2, 2)
    before = path.read_bytes()
    with pytest.raises(ValueError), live(path, "ofa profile"):
        raise ValueError
    assert path.read_bytes() == before


@pytest.mark.parametrize("said", ["", "{}", '{"train": {"done": "many"}}', '{"train": [', "[" * 100_000])
def test_a_page_that_says_nothing_of_stages_is_written_anew(tmp_path: Path, said: str) -> None:
    path = tmp_path / "live.html"
    path.write_text(f'<script type="application/json" id="stages">{said}</script>')
    assert stages_of(path) == {}
