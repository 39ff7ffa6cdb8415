"""Loggers get each row of a training once, whatever stops and resumes it; an error of theirs stops nothing."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from ofa.loggers import CsvLogger
from ofa.train import Event, logged, train_network
from tests.ofa.train.loop_settings import SETTINGS, STEPS
from tests.ofa.train.network_training import Stop, net


def rows_of(folder):
    with (folder / "train.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def fit(data, folder, settings=SETTINGS, callbacks=(), seed=0, loggers=None):
    loggers = [CsvLogger(folder / "logs", "train")] if loggers is None else loggers
    return train_network(
        net(seed), data, settings, checkpoint=folder / "training.safetensors", callbacks=[*callbacks, logged(loggers)]
    ).history


def stop_at(event, step):
    def stop(at, state):
        if at is event and state.step == step:
            raise Stop

    return stop


def test_a_row_has_what_all_callbacks_added(data, tmp_path):
    history = fit(data, tmp_path)
    rows = rows_of(tmp_path / "logs")
    assert [int(row["step"]) for row in rows] == [3, 6, 9]
    for row, other in zip(rows, history, strict=True):
        assert float(row["loss"]) == other["loss"]
        measured = other.get("scores", {}).get("network", {}).get("accuracy", "")
        assert row["scores.network.accuracy"] == str(measured)
    assert any("scores" in row for row in history)


@pytest.mark.parametrize("event", [Event.UPDATE, Event.EPOCH, Event.STEP])
@pytest.mark.parametrize("step", range(1, STEPS + 1))
def test_a_training_that_is_resumed_logs_no_row_twice_and_leaves_none_out(data, tmp_path, event, step):
    settings = replace(SETTINGS, checkpoint_steps=2, validate_every=0)
    try:
        fit(data, tmp_path, settings, [stop_at(event, step)])
    except Stop:
        pass
    else:
        assert event is not Event.STEP  # there is no such moment
    fit(data, tmp_path, settings, seed=9 if (tmp_path / "training.safetensors").exists() else 0)
    assert [int(row["step"]) for row in rows_of(tmp_path / "logs")] == [3, 6, 9]


def test_a_training_that_begins_anew_replaces_the_rows_of_another(data, tmp_path):
    fit(data, tmp_path)
    (tmp_path / "training.safetensors").unlink()
    fit(data, tmp_path, replace(SETTINGS, epochs=1))
    assert [int(row["step"]) for row in rows_of(tmp_path / "logs")] == [3]


class Failing:
    """A logger that fails at once."""

    def open(self, *, fresh):
        raise RuntimeError("no server")

    def log(self, step, row):
        raise AssertionError

    def close(self):
        raise AssertionError


def test_a_logger_that_fails_loses_no_training_and_no_other_logger(data, tmp_path):
    whole = fit(data, tmp_path / "whole")
    with pytest.warns(UserWarning, match="Failing fails, the work goes on without it: no server"):
        history = fit(data, tmp_path, loggers=[Failing(), CsvLogger(tmp_path / "logs", "train")])
    assert [row["loss"] for row in history] == [row["loss"] for row in whole]
    assert len(rows_of(tmp_path / "logs")) == 3
