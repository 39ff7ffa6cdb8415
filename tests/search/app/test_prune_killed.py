"""`ofa prune` that is killed goes on to the same bits, and nothing that ended is done again."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ofa.checkpoint import load_checkpoint
from search.app.main import main
from tests.executors import AtOnce
from tests.search.app.pruned_run import RUN, TINY


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Killed(BaseException):
    """The process ends here, and nothing is cleaned up."""


@pytest.mark.parametrize(
    "recipe", ["cubic", pytest.param("rigl", marks=pytest.mark.slow), pytest.param("lottery", marks=pytest.mark.slow)]
)
def test_a_killed_run_goes_on_to_the_same_bits(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], recipe: str
) -> None:
    rounds = ["prune.method.rounds=1"] if recipe == "lottery" else []
    whole = ["prune", *TINY, f"prune={recipe}", *rounds, "prune.retraining.epochs=2"]
    assert main([*whole, "name=whole"]) == 0

    from ofa.train import checkpoints

    save, saved = checkpoints.save_training, 0

    def save_and_die(*arguments: object) -> None:
        nonlocal saved
        save(*arguments)  # type: ignore[arg-type]
        saved += 1
        if saved % 3 == 0:
            raise Killed

    monkeypatch.setattr(checkpoints, "save_training", save_and_die)
    monkeypatch.setattr(checkpoints, "ThreadPoolExecutor", lambda *_: AtOnce())
    monkeypatch.setattr("ofa.train.pace.LARGEST_SHARE", 1.0)  # every step
    killed = 0
    while True:
        try:
            assert main([*whole, "name=killed", "dense.checkpoint_seconds=0"]) == 0
            break
        except Killed:
            killed += 1
            assert not (home / RUN / "prune/killed/card.json").exists()
    assert killed >= 2
    for name in ("model.safetensors", "masks.safetensors"):
        first, second = (load_checkpoint(home / RUN / "prune" / one / name)[0] for one in ("whole", "killed"))
        assert all(torch.equal(tensor, second[key]) for key, tensor in first.items()), name
    assert not list((home / RUN / "prune/killed").glob("checkpoint*"))


@pytest.mark.slow
def test_a_level_whose_training_ended_is_not_trained_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill between the end of a training and the row that says so costs nothing."""
    from ofa.prune.lottery_folder import LotteryFolder

    assert main(["prune", *TINY, "prune=one_shot", "prune.retraining.epochs=1"]) == 0  # trains the dense network
    steps = 0

    def count(*_: object) -> None:
        nonlocal steps
        steps += 1

    handle = register_optimizer_step_post_hook(count)
    command = ["prune", *TINY, "prune=lottery", "prune.method.rounds=1", "prune.retraining.epochs=2"]
    assert main([*command, "name=whole"]) == 0
    whole, steps = steps, 0
    write, deaths = LotteryFolder.write_row, 0

    def die_once(files: LotteryFolder, level: int, kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
        nonlocal deaths
        if deaths == level:
            deaths += 1
            raise Killed
        return write(files, level, kind, row)

    monkeypatch.setattr(LotteryFolder, "write_row", die_once)
    while True:
        with suppress(Killed):
            assert main([*command, "name=killed"]) == 0
            break
    handle.remove()
    assert deaths == 2
    assert steps == whole
