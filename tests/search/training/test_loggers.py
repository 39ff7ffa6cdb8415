"""Every logger of conf/ is made and fed by a training; searches and prunings feed them too; none is needed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from ofa.task import Score
from search.app.main import main
from search.candidates.trials import TrialProgress
from search.config.read import read_request
from search.config.tuning import TrainRequest
from search.config.verbs import PruneRequest
from search.run.paths import RunFolder
from search.study.logged import evaluations_to
from search.training.loggers import log_rows, loggers_of
from tests.composed import composed, options, plain

PACKAGES = {"tensorboard", "wandb", "mlflow"}
TINY = ["experiment=tiny", "train.epochs=1", "train.validate_every=1"]


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name == "mlflow" else ()) for name in options("logger")]
)
def test_every_logger_takes_rows(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in PACKAGES:
        pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    request = read_request(composed("train", f"logger={name}"), TrainRequest)
    assert set(request.logger) == ({name} - {"none"})
    log_rows(loggers_of(request.logger, RunFolder(tmp_path / "main"))("train"), [{"loss": 1.5}, {"loss": 0.5}])
    assert any((tmp_path / "main/logs").rglob("*")) == (name != "none")


@pytest.mark.parametrize("verb", ["train", "search", "prune", "run"])
def test_several_are_a_list(verb: str) -> None:
    both = plain(composed(verb, "logger=[csv,tensorboard]"), "logger")["logger"]
    assert [part["_target_"] for part in both.values()] == ["ofa.loggers.CsvLogger", "ofa.loggers.TensorBoardLogger"]


def test_a_wrong_argument_is_said_before_anything_begins(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"logger.csv .*colour"):
        loggers_of(
            {"csv": {"_target_": "ofa.loggers.CsvLogger", "_partial_": True, "colour": 1}}, RunFolder(tmp_path / "main")
        )


def test_loggers_decide_nothing() -> None:
    one, other = (read_request(composed("prune", f"logger={name}"), PruneRequest) for name in ("none", "csv"))
    assert one.network.decides == other.network.decides


def test_a_training_of_the_command_is_logged(tmp_path: Path) -> None:
    assert main(["train", *TINY, "logger=csv", f"outputs={tmp_path}"]) == 0
    (row,) = read(tmp_path / "tiny/logs/train.csv")
    assert int(row["epoch"]) == 1 and 0 < float(row["scores.largest.accuracy"]) <= 1


def test_a_pruning_of_the_command_logs_the_dense_training_too(tmp_path: Path) -> None:
    command = ["prune", "model=lenet5", "dense.epochs=1", "prune.retraining.epochs=1", "name=small", "logger=csv"]
    assert main([*command, f"outputs={tmp_path}"]) == 0
    logs = tmp_path / "main/logs"
    assert [int(row["epoch"]) for row in read(logs / "prune/small.csv")] == [1]
    (dense,) = (logs / "dense").glob("*.csv")
    assert len(read(dense)) == 1


class Kept:
    """A logger that keeps its rows, and knows what an earlier process kept."""

    def __init__(self, last: int | None = None) -> None:
        self.last, self.fresh, self.rows = last, False, {}

    def open(self, *, fresh: bool) -> int | None:
        self.fresh = fresh
        return None if fresh else self.last

    def log(self, step, row) -> None:
        self.rows[step] = row

    def close(self) -> None:
        pass


def ended(done: int, state: str = "evaluated") -> TrialProgress:
    figures = {"latency_ms": 2.0}
    return TrialProgress(state, trial=10 + done, score=Score(0.5, 90, 0.1), figures=figures, done=done, evaluations=9)


def test_evaluations_are_rows_and_what_is_refused_is_none() -> None:
    kept = Kept()
    log = evaluations_to([kept], "recall")
    for progress in (ended(0, "infeasible"), ended(1), ended(1, "duplicate"), ended(2, "failed")):
        log(progress)
    assert kept.fresh and list(kept.rows) == [1, 2]
    expected = {"trial": 11, "state": "evaluated", "latency_ms": 2.0, "recall": 0.5, "recall_standard_error": 0.1}
    assert kept.rows[1] == expected


def test_a_search_that_is_resumed_adds_what_a_logger_lacks() -> None:
    kept, ahead = Kept(last=4), Kept(last=5)
    log = evaluations_to([kept, ahead], "recall")
    log(ended(5))
    log(ended(6))
    assert not kept.fresh and list(kept.rows) == [5, 6] and list(ahead.rows) == [6]
