"""Command lines with a value that its key cannot have: one line with the key's full name, and nothing is begun."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.app.main import main

COMMANDS = [
    ("train train.epochs=three", "train.epochs='three' must be a whole number, at least 0"),
    ("train train.epochs=2.5", "train.epochs=2.5 must be a whole number"),
    ("train train.batch_size=1e6", "train.batch_size=1000000.0 must be a whole number, at least 1 (write 1000000)"),
    ("train train.epochs=1e30", "train.epochs=1e+30 must be a whole number"),
    ("train seed=x", "seed='x' must be a whole number, at least 0"),
    ("search seed=-1", "seed=-1 must be a whole number, at least 0"),
    ("train seed=99999999999999999999999", "must be a whole number, at least 0"),
    ("run threads=lots", "threads='lots' must be a whole number, at least 1"),
    ("train force=maybe", "force='maybe' must be true or false"),
    ("train run=null", "run=None must be a name"),
    ("train outputs=[a]", "outputs=['a'] must be a name"),
    ("train train.precision=float8", "train.precision='float8': "),
    ("train train.optimizer.lr=fast", "train.optimizer.lr='fast' must be a number"),
    ("train train.optimizer.nesterov=3", "train.optimizer.nesterov=3 must be true or false"),
    ("train train.strategy.random_subnets=two", "train.strategy.random_subnets='two' must be a whole number"),
    ("train model=resnet20 model.depth=twenty", "model.depth='twenty' must be a whole number"),
    ("train data.dataset.validation=[0.1]", "data.dataset.validation=[0.1] must be a number"),
    ("train data.dataset=5", "data.dataset=5 must be a mapping with _target_"),
    ("train space.multiple_of=1.5", "space.multiple_of=1.5 must be a whole number"),
    ("profile device.profile.anchors=many", "device.profile.anchors='many' must be a whole number, at least 6"),
    ("profile device.profile=5", "device.profile=5 must be a mapping, with"),
    ("profile device.runtime.threads=two", "device.runtime.threads='two' must be a whole number"),
    ("search search.finalists.seconds=0", "search.finalists.seconds=0 must be a number, more than 0"),
    ("search search.evaluations=1e3", "search.evaluations=1000.0 must be a whole number, at least 1 (write 1000)"),
    ("search sampler.startup_trials=few", "sampler.startup_trials='few' must be a whole number"),
    ("search search=joint search.tuning.keep=2", "search.tuning.keep=2 must be a number, more than 0 and at most 1"),
    ("search workers=1000000000", "workers=1000000000 must be a whole number, at least 1 and at most 1024"),
    ("prune prune.sparsity=90", "prune.sparsity=90 must be a number, at least 0 and less than 1"),
    ("prune prune.retraining.epochs=many", "prune.retraining.epochs='many' must be a whole number, at least 1"),
    ("prune prune.schedule.begin=late", "prune.schedule.begin='late' must be "),
    ("extract trial=first", "trial='first' must be a whole number, at least 0, or null"),
    ("compare visits=3", "visits=3 must be a whole number, at least 4"),
    ("search search.finalists.visits=3", "search.finalists.visits=3 must be a whole number, at least 4"),
    ("run device.profile.visits=2", "device.profile.visits=2 must be a whole number, at least 4"),
    ("run device.profile.anchors=5", "device.profile.anchors=5 must be a whole number, at least 6"),
    ("dashboard port=http", "port='http' must be a whole number"),
]


@pytest.mark.parametrize(("command", "message"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_from_the_command_line(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"ofa {command.split()[0]}: ") and message in line
    assert list(tmp_path.iterdir()) == []
