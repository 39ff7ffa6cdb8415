"""Loggers keep rows that can be read back; work that is resumed adds to them, without a row twice."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from ofa.loggers import CsvLogger, MlflowLogger, TensorBoardLogger, WandbLogger, flat, tolerant

ROWS = {
    3: {"epoch": 1, "step": 3, "loss": 1.5, "note": "one, two"},
    6: {"epoch": 2, "step": 6, "loss": 0.75, "accuracy": {"largest": 0.5}, "nothing": None},
    9: {"epoch": 3, "step": 9, "loss": float("nan")},
}


class OfflineWandb(WandbLogger):
    """Sends nothing."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(folder, name, mode="offline")


LOGGERS = {
    CsvLogger: "csv",
    TensorBoardLogger: "tensorboard",
    OfflineWandb: "wandb",
    MlflowLogger: "mlflow",
}
SLOW = {"mlflow": pytest.mark.slow}  # it takes ten seconds to make a database


def written(make, folder: Path, rows=ROWS, name: str = "search/pi5", *, fresh: bool = True) -> int | None:
    """Logs rows as a process does; returns the last step that was there."""
    logger = make(folder, name)
    last = logger.open(fresh=fresh)
    for step, row in rows.items():
        logger.log(step, row)
    logger.close()
    return last


@pytest.mark.parametrize(
    "make", [pytest.param(make, id=name, marks=SLOW.get(name, ())) for make, name in LOGGERS.items()]
)
def test_what_is_resumed_knows_the_last_step_and_what_is_fresh_knows_none(make, tmp_path: Path) -> None:
    if make is not CsvLogger:
        pytest.importorskip(LOGGERS[make])
    assert written(make, tmp_path / "logs", {3: ROWS[3]}) is None
    assert written(make, tmp_path / "logs", {6: ROWS[6]}, fresh=False) == 3
    assert written(make, tmp_path / "logs", {}, fresh=False) == 6
    assert written(make, tmp_path / "logs", {3: ROWS[3]}) is None
    assert written(make, tmp_path / "logs", {}, fresh=False) == 3
    assert written(make, tmp_path / "logs", {}, "train", fresh=False) is None
    assert all((tmp_path / "logs") in path.parents for path in tmp_path.rglob("*") if path.is_file())


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_csv_has_a_column_for_each_figure(tmp_path: Path) -> None:
    written(CsvLogger, tmp_path, {3: ROWS[3]})
    written(CsvLogger, tmp_path, {6: ROWS[6], 9: ROWS[9]}, fresh=False)
    assert read_csv(tmp_path / "search/pi5.csv") == [
        {"step": "3", "epoch": "1", "loss": "1.5", "note": "one, two", "accuracy.largest": ""},
        {"step": "6", "epoch": "2", "loss": "0.75", "note": "", "accuracy.largest": "0.5"},
        {"step": "9", "epoch": "3", "loss": "nan", "note": "", "accuracy.largest": ""},
    ]


def test_tensorboard_has_a_curve_for_each_figure(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    written(TensorBoardLogger, tmp_path, {3: ROWS[3]})
    written(TensorBoardLogger, tmp_path, {6: ROWS[6], 9: ROWS[9]}, fresh=False)
    events = EventAccumulator(str(tmp_path / "tensorboard/search/pi5"))
    events.Reload()
    curves = {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    assert curves["loss"] == [(3, 1.5), (6, 0.75)]  # NaN is no point
    assert curves["accuracy.largest"] == [(6, 0.5)]
    assert curves["epoch"] == [(3, 1.0), (6, 2.0), (9, 3.0)]


@pytest.mark.slow
def test_mlflow_has_a_metric_for_each_figure(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    written(MlflowLogger, tmp_path, {3: ROWS[3]})
    written(MlflowLogger, tmp_path, {6: ROWS[6], 9: ROWS[9]}, fresh=False)
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow/mlflow.db'}")
    experiment = client.get_experiment_by_name("ofa").experiment_id
    (run,) = client.search_runs([experiment])
    assert run.info.run_name == "search/pi5" and run.info.status == "FINISHED"
    assert run.data.tags["note"] == "one, two"
    assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "loss")] == [
        (3, 1.5),
        (6, 0.75),
    ]


def test_wandb_offline_goes_on_in_the_same_run(tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    written(OfflineWandb, tmp_path / "main" / "logs", {3: ROWS[3]})
    known = json.loads((tmp_path / "main/logs/wandb/search-pi5.json").read_text())
    written(OfflineWandb, tmp_path / "main" / "logs", {6: ROWS[6]}, fresh=False)
    runs = [path.name for path in (tmp_path / "main/logs/wandb").glob("offline-run-*")]
    assert runs and all(known["id"] in name for name in runs)
    assert json.loads((tmp_path / "main/logs/wandb/search-pi5.json").read_text()) == known | {"step": 6}


@pytest.mark.parametrize(("make", "package"), [(TensorBoardLogger, "tensorboard"), (WandbLogger, "wandb")])
def test_a_package_that_is_not_there_is_a_line_with_the_command(make, package, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=rf"logger={package}: .*pip install 'ofa-search\[{package}\]'"):
        make(tmp_path, "train")


def test_rows_are_flat_and_hold_plain_values() -> None:
    assert flat({"a": {"b": {"c": 1}, "d": "x"}, "e": None, "f": [1], "g": True}) == {"a.b.c": 1, "a.d": "x", "g": True}


class Broken:
    """A logger whose disk is full from the second row on."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def open(self, *, fresh: bool) -> int | None:
        self.calls.append("open")
        return 4

    def log(self, step, row) -> None:
        self.calls.append(f"log {step}")
        if step > 1:
            raise OSError(28, "No space left on device")

    def close(self) -> None:
        self.calls.append("close")


def test_an_error_is_one_warning_and_then_silence() -> None:
    broken = Broken()
    logger = tolerant(broken)
    assert logger.open(fresh=False) == 4
    logger.log(1, {})
    with pytest.warns(UserWarning, match="Broken fails, the work goes on without it: .*No space left"):
        logger.log(2, {})
    logger.log(3, {})
    logger.close()
    assert broken.calls == ["open", "log 1", "log 2"]
