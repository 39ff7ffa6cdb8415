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
from search.dashboard import address, make_dashboard
from search.evaluation import Evaluation
from search.limits import Limits
from search.plan import SearchPlan
from search.samplers import random
from search.study import load_study, run_study
from search.trials import trial_rows
from tests.search.synthetic import Oracle, block_space

pytest.importorskip("optuna_dashboard")

ORACLE = Oracle(block_space(stages=2, blocks=3))
LIMIT = float(ORACLE.figures([ORACLE.space.largest])["latency_ms"][0]) * 0.55


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "journal.log"
    plan = SearchPlan(
        "digits",
        ORACLE.candidates,
        ORACLE.candidate_figures,
        lambda candidate: Evaluation(ORACLE.accuracy(candidate.arch), 0.0),
        8,
        Limits(({"latency_ms": LIMIT},)),
        sampler=random,
        identity={"supernet": "abc"},
        command=lambda number: f"ofa extract trial={number}",
    )
    run_study(plan, path)
    return path


@pytest.fixture(scope="module")
def url(journal: Path) -> Iterator[str]:
    server = make_dashboard(journal, port=0)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield address(server).removesuffix("/dashboard/")
    server.shutdown()
    server.server_close()


def get(url: str, **headers: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        body = answer.read()
    return json.loads(body) if answer.headers["Content-Type"].startswith("application/json") else body


def test_feasible_and_infeasible_are_shown_as_such(url: str, journal: Path) -> None:
    (summary,) = get(f"{url}/api/studies")["study_summaries"]
    shown = get(f"{url}/api/studies/{summary['study_id']}")
    assert summary["study_name"] == "digits"
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
    rows = [row for row in trial_rows(load_study(journal, "digits")) if row.accuracy is not None]
    points = {row.number: (-(row.accuracy or 0), row.figures["latency_ms"]) for row in rows}
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
            assert body == ""
            continue
        assert f"ofa extract trial={trial['number']}" in body
        assert ORACLE.space.contains(Arch.from_json(body.split("```json\n")[1].split("\n```")[0]))


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
