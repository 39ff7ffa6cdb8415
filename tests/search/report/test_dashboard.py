"""What the dashboard shows, asked through its own HTTP API."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.candidates.limits import Limits
from search.candidates.space import Candidate, Evaluation, TuningEpoch
from search.candidates.trials import trial_rows
from search.report.dashboard import address, make_dashboard
from search.report.trial_files import trial_files
from search.samplers import random
from search.study.plan import SearchPlan
from search.study.study import load_study, run_study
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space

pytest.importorskip("optuna_dashboard")

ORACLE = Oracle(block_space(stages=2, blocks=3))
LIMIT = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0]) * 0.55


EVALUATIONS = 24
HISTORY = (
    TuningEpoch(epoch=1, loss=0.8, value=0.7),
    TuningEpoch(epoch=2, loss=0.5, value=0.8),
    TuningEpoch(epoch=3, value=0.9),
)


def evaluate(candidate: Candidate) -> Evaluation:
    """The accuracy by the oracle; one in two was trained for it."""
    trained = int(candidate.digest, 16) % 2 == 0
    return evaluation(ORACLE.accuracy(candidate.arch), 0.0, history=HISTORY if trained else ())


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "journal.log"
    plan = SearchPlan(
        "digits",
        ORACLE.candidates,
        ORACLE.candidate_figures,
        evaluate,
        EVALUATIONS,
        (ACCURACY,),
        Limits(({"latency_ms": LIMIT},)),
        sampler=random,
        identity={"supernet": "abc"},
        command=lambda number: f"ofa extract trial={number}",
        artifacts=path.parent / "artifacts",
        trial_files=trial_files,
    )
    run_study(plan, path)
    return path


@pytest.fixture(scope="module")
def url(journal: Path) -> Iterator[str]:
    server = make_dashboard(journal, port=0, artifacts=journal.parent / "artifacts")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address(server).removesuffix("/dashboard/")
    server.shutdown()
    server.server_close()


def get(url: str, raw: bool = False, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        body = answer.read()
    return json.loads(body) if not raw and answer.headers["Content-Type"].startswith("application/json") else body


def test_feasible_and_infeasible_are_shown_as_such(url: str, journal: Path) -> None:
    (summary,) = get(f"{url}/api/studies")["study_summaries"]
    shown = get(f"{url}/api/studies/{summary['study_id']}")
    assert summary["study_name"] == f"digits (run=THIS), ≤ {LIMIT:#.3g} ms"
    assert shown["note"]["body"].startswith("Search `digits` for the best accuracy (higher is better).\n- limits: ≤ ")
    assert shown["objective_names"] == ["accuracy", "latency_ms"]
    over = {trial["number"]: trial["constraints"][0] > 0 for trial in shown["trials"]}
    pruned = {trial["number"]: trial["state"] == "Pruned" for trial in shown["trials"]}
    attributes = [{pair["key"]: pair["value"] for pair in trial["user_attrs"]} for trial in shown["trials"]]
    assert sum(over.values()) >= 1
    for number, is_over in over.items():
        assert is_over == (float(attributes[number]["latency_ms"]) > LIMIT)
        assert pruned[number] >= is_over
    assert not any(over[trial["number"]] for trial in shown["best_trials"])
    assert {trial["number"] for trial in shown["best_trials"]} == front(journal)


def front(journal: Path) -> set[int]:
    rows = [row for row in trial_rows(load_study(journal, "digits")) if row.score is not None]
    points = {row.number: (-row.score.value if row.score else 0.0, row.figures["latency_ms"]) for row in rows}
    return {
        number
        for number, point in points.items()
        if not any(o[0] <= point[0] and o[1] <= point[1] and o != point for o in points.values())
    }


def test_notes_carry_the_arch_and_the_command(url: str) -> None:
    shown = get(f"{url}/api/studies/0")
    for trial in shown["trials"]:
        body = trial["note"]["body"]
        if trial["state"] != "Complete":
            assert body.startswith("**infeasible**, not evaluated: latency_ms ")
            continue
        assert f"ofa extract trial={trial['number']}" in body
        assert ORACLE.space.contains(Arch.from_json(body.split("```json\n")[1].split("\n```")[0]))


def test_every_evaluated_trial_has_its_files_and_no_other_has(url: str) -> None:
    shown = get(f"{url}/api/studies/0")
    kinds = set()
    for trial in shown["trials"]:
        files = {
            artifact["filename"]: (
                artifact["mimetype"],
                f"{url}/artifacts/0/{trial['trial_id']}/{artifact['artifact_id']}",
            )
            for artifact in trial["artifacts"]
        }
        if trial["state"] != "Complete":
            assert not files
            continue
        kinds.add(tuple(sorted(files)))
        attributes = {pair["key"]: pair["value"] for pair in trial["user_attrs"]}
        assert Arch.from_json(get(files["arch.json"][1], raw=True).decode()) == Arch.from_json(attributes["arch"])
        assert files["arch.svg"][0] == "image/svg+xml"
        assert f"]({files['arch.svg'][1].removeprefix(url)})" in trial["note"]["body"]
        if "curve.csv" in files:
            table = get(files["curve.csv"][1]).decode()
            assert table == "epoch,loss,accuracy\n1,0.8,0.7\n2,0.5,0.8\n3,,0.9\n"
            assert files["curve.svg"][0] == "image/svg+xml"
    assert kinds == {("arch.json", "arch.svg"), ("arch.json", "arch.svg", "curve.csv", "curve.svg")}


def test_figures_of_our_own_are_shown_and_the_journal_is_not_written(url: str, journal: Path) -> None:
    before = journal.read_bytes()
    found = get(f"{url}/api/studies/0")
    figures = {one["id"]: json.loads(one["graph_object"]) for one in found["plotly_graph_objects"]}
    assert figures.keys() == {"pareto", "importance"}
    assert [shape["x0"] for shape in figures["pareto"]["layout"]["shapes"]] == [pytest.approx(LIMIT)]
    assert figures["pareto"]["layout"]["xaxis"]["title"]["text"] == "latency, ms"  # of whatever its profile timed
    traces = {trace["name"]: trace for trace in figures["pareto"]["data"]}
    assert len(traces["trials"]["x"]) == EVALUATIONS
    best = sorted(trial["values"][1] for trial in found["best_trials"])
    assert list(traces["front"]["x"]) == pytest.approx(best)
    assert max(traces["trials"]["x"]) <= LIMIT < min(traces["over the limit, not evaluated"]["x"])
    layout = figures["importance"]["layout"]
    assert layout["title"]["text"].startswith("What decides the accuracy: unseen subnets predicted with R² = ")
    names = {choice.name for choice in ORACLE.space.choices}
    assert all(any(name.startswith(bar) for name in names) for bar in layout["yaxis"]["ticktext"])
    assert "$" not in json.dumps(figures)
    assert journal.read_bytes() == before


def test_without_a_folder_no_files_are_written(tmp_path: Path) -> None:
    plan = SearchPlan("plain", ORACLE.candidates, ORACLE.candidate_figures, evaluate, 2, (ACCURACY,), sampler=random)
    study = run_study(plan, tmp_path / "journal.log").study
    assert not any("artifact" in key for trial in study.trials for key in trial.system_attrs)
    assert not any(path.is_dir() for path in tmp_path.iterdir())


def test_the_page_opens_on_this_machine_alone(url: str) -> None:
    assert url.startswith("http://127.0.0.1:")
    assert b"<html" in get(f"{url}/dashboard").lower()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        get(f"{url}/api/studies", Host="evil.example:80")


def test_what_cannot_be_served_is_said(journal: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidInput, match="search first"):
        make_dashboard(journal.with_name("missing.log"))
    with pytest.raises(InvalidInput, match="cannot be used"):
        make_dashboard(journal, int(url.rsplit(":", 1)[1]))
    with pytest.raises(InvalidInput, match="port=70000"):
        make_dashboard(journal, 70000)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"pip install 'ofa-search\[dashboard\]'"):
        make_dashboard(journal)
