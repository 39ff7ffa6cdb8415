"""`ofa run` from end to end on a small net and made-up images, and every later verb over what it leaves."""

from __future__ import annotations

import json
import os
import shlex
from html import unescape
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from search.app.main import main
from search.networks.rebuild import load
from search.run.file_lock import held
from tests.record_files import rewrite
from tests.search.app.tiny_run import MET, QUICK, TINY, contents
from tests.without_the_package import check_plain_pytorch


def test_run_leaves_everything(tiny_run: Path) -> None:
    run = tiny_run / "outputs/tiny"
    assert {path.name for path in run.iterdir()} == {
        "supernet",
        "profiles",
        "search",
        "subnets",
        "cache",
        "report.html",
        "live.html",
    }
    files = {path.name for path in (run / "supernet").iterdir()}
    own = {"model.safetensors", "data.safetensors", "supernet.json", "layers.json"}
    own |= {"config.yaml", "history.json", "stage.json"}
    assert files == own
    rows = json.loads((run / "subnets/onnxruntime.json").read_text())["rows"]
    assert rows[-1]["limit_ms"] is None
    assert len(rows) >= 2
    for row in rows[:-1]:
        assert row["measured_ms"] <= row["limit_ms"]
        card = json.loads((run / row["folder"] / "card.json").read_text())
        assert card["scores"]["test"] == row["scores"]["test"]
        assert card["device"] == "onnxruntime"


def written(outputs: Path) -> dict[str, bytes]:
    """The files of all runs but for the scores that searches share: the one with which a search begins is kept."""
    return {name: content for name, content in contents(outputs).items() if "/cache/" not in name}


@pytest.mark.parametrize(
    ("command", "output", "being"),
    [
        ("run force=true", "supernet", "trained"),
        ("train train.epochs=2", "supernet", "trained"),
        ("profile device=eager", "profiles/eager", "measured"),
        ("profile force=true", "profiles/onnxruntime", "measured"),
        ("search study=new", "search/new", "searched"),
        ("search search.evaluations=20", "search/onnxruntime", "searched"),
        ("extract force=true", "subnets/onnxruntime", "extracted"),
        ("compare", "comparison", "compared"),
        ("prune prune=one_shot prune.start=initial baseline=false name=small", "prune/small", "pruned"),
    ],
)
def test_what_another_process_writes_is_left_to_it(
    command: str,
    output: str,
    being: str,
    tiny_run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tiny_run)
    monkeypatch.setattr("search.run.file_lock.QUIET_SECONDS", 0.05)
    verb, *overrides = command.split()
    tiny = [TINY] if verb in ("run", "train") else ["run=tiny"]
    before = written(tiny_run / "outputs")
    with held(tiny_run / f"outputs/tiny/{output}.lock"):
        assert main([verb, *tiny, *overrides]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"outputs/tiny/{output}" in line
    assert f"is being {being} by another process (pid {os.getpid()}): wait for it, or use " in line
    assert written(tiny_run / "outputs") == before


@pytest.mark.slow
def test_workers_search_together_what_one_would(tiny_copy: Path) -> None:
    files = tiny_copy / "outputs/tiny/search/both"
    assert main(["search", "study=both", "workers=2", MET, *QUICK]) == 0
    rows = json.loads((files / "trials.json").read_text())["rows"]
    assert sum(row["state"] == "evaluated" for row in rows) == 6
    assert json.loads((files / "finalists.json").read_text())
    assert main(["search", "study=both", "search.evaluations=8", MET, *QUICK[:1], *QUICK[2:]]) == 0
    rows = json.loads((files / "trials.json").read_text())["rows"]
    assert sum(row["state"] == "evaluated" for row in rows) == 8


def test_extracted_onnx_needs_nothing_of_ours(tiny_run: Path) -> None:
    (first, *_) = sorted((tiny_run / "outputs/tiny/subnets").glob("onnxruntime-*ms"))
    verify = np.load(first / "verify.npz")
    session = onnxruntime.InferenceSession(first / "model.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"input": verify["input"]})
    np.testing.assert_allclose(logits, verify["logits"], atol=1e-4)


def test_what_extract_wrote_loads_again_and_runs_anywhere(tiny_run: Path) -> None:
    places = sorted((tiny_run / "outputs/tiny/subnets").glob("onnxruntime-*ms"))
    for place in places:
        net = load(place)
        verify = np.load(place / "verify.npz")
        with torch.no_grad():
            np.testing.assert_allclose(net(torch.from_numpy(verify["input"])), verify["logits"], atol=1e-6)
        card = json.loads((place / "card.json").read_text())
        sizes = [card["rebuild"][key] for key in ("input_shape", "num_classes")]
        assert sizes == [[1, 8, 8], verify["logits"].shape[1]]
    check_plain_pytorch(*places)


def test_report_is_complete_in_itself(tiny_run: Path) -> None:
    page = (tiny_run / "outputs/tiny/report.html").read_text()
    assert page.count("</html>") == 1
    assert "<link" not in page
    assert " src=" not in page.split("<script>")[0]
    assert '<div id="s0-pareto">' in page
    assert 'class="silhouette"' in page


@pytest.mark.slow
def test_multirun_searches_every_limit_over_one_supernet(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", *QUICK, "--multirun", "latency_ms=1e-9,1000,2000"]) == 2
    err = capsys.readouterr().err
    assert err.count("cannot be met") == 1
    assert "nothing to do" in err  # the profile is used as it is
    for limit in (1000, 2000):
        assert (tiny_copy / f"outputs/tiny/search/onnxruntime-{limit}ms/finalists.json").is_file()
    assert main(["extract", "run=tiny", "study=onnxruntime-1000ms"]) == 0
    assert (tiny_copy / "outputs/tiny/subnets/onnxruntime-1000ms/model.onnx").is_file()
    assert main(["report", "run=tiny"]) == 0
    assert '<div id="s2-pareto">' in (tiny_copy / "outputs/tiny/report.html").read_text()


def test_a_trial_is_extracted_by_its_number(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["extract", "run=tiny", "trial=1"]) == 0
    card = json.loads((tiny_copy / "outputs/tiny/subnets/onnxruntime-trial-1/card.json").read_text())
    assert card["trial"] == 1
    load(tiny_copy / "outputs/tiny/subnets/onnxruntime-trial-1")
    assert main(["extract", "run=tiny", "trial=999"]) == 2
    assert "has trials 0 to" in capsys.readouterr().err


@pytest.mark.slow
def test_a_search_begins_with_the_best_of_another(tiny_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    warm = [*QUICK[:1], *QUICK[2:], MET, "study=warm", "search.warm_start_candidates=5"]
    warm.insert(0, "search.calibration_images=128")  # as the other search had it: its accuracies are known
    named = ["search.warm_start=[onnxruntime]"]
    assert main(["search", *warm, *named, "search.evaluations=4"]) == 0
    assert "search: begins with 5 of 5 candidates of earlier searches" in capsys.readouterr().err
    files = tiny_copy / "outputs/tiny/search/warm"
    first = json.loads((files / "warm_start.json").read_text())["rows"]
    assert len(first) == 5
    earlier = tiny_copy / "outputs/tiny/search/onnxruntime"
    rewrite(
        earlier / "trials.json", lambda trials: trials.update(rows=[])
    )  # what has begun goes on with what it began with
    assert main(["search", *warm, *named, "search.evaluations=9"]) == 0
    rows = json.loads((files / "trials.json").read_text())["rows"]
    evaluated = [row for row in rows if row["state"] == "evaluated"]
    assert len(evaluated) == 9
    assert all(one["arch"] in [row["arch"] for row in evaluated] for one in first)
    assert all(row["cached"] for row in evaluated if row["arch"] in [one["arch"] for one in first])
    assert main(["search", *warm, "search.evaluations=9"]) == 2
    assert "search.warm_start=['onnxruntime'] there, absent now" in capsys.readouterr().err
    assert main(["search", *warm[:-2], "study=cold", "search.warm_start=[onnxruntim]"]) == 2
    assert "did you mean onnxruntime" in capsys.readouterr().err
    assert main(["search", *warm[:-2], "study=cold", "search.warm_start=5"]) == 2
    assert "search.warm_start=5 must be a list of texts" in capsys.readouterr().err
    assert main(["search", *warm[:-2], "study=cold", "search.warm_start=[cold]"]) == 2
    assert "has the search itself" in capsys.readouterr().err


def test_the_commands_on_a_page_make_the_same_run_in_a_new_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = []
    commands = [["train", TINY, "run=my run", "train.epochs=1", "train.validate_every=0", "model.widths=[8, 16, 16]"]]
    commands.append(["report", "run=my run"])
    for place in (tmp_path / "first", tmp_path / "second"):
        place.mkdir()
        monkeypatch.chdir(place)
        assert [main(command) for command in commands] == [0] * len(commands)
        page = (place / "outputs/my run/report.html").read_text()
        lines = unescape(page.split('<pre tabindex="0">')[1].split("</pre>")[0]).splitlines()
        commands = [shlex.split(line)[1:] for line in lines]
        digests.append(json.loads((place / "outputs/my run/supernet/supernet.json").read_text())["digest"])
    assert digests[0] == digests[1] and [command[0] for command in commands] == ["train", "report"]
    assert "# What `ofa` wrote here" in (place / "outputs/README.md").read_text()
    assert ">done<" in (place / "outputs/my run/live.html").read_text()
