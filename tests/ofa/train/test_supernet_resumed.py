"""A supernet's training resumes with the same bits, and a checkpoint that is none of its own is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from ofa.train import (
    OFA_PHASES,
    constant,
    progressive,
    restarts,
    sandwich,
    single,
)
from ofa.train.average_teacher import taught_by_average
from ofa.train.gradients import combined, without_conflicts
from ofa.train.label_weights import by_skill
from ofa.train.sampling import attentive, sampled
from ofa.train.warm_start import warm_start
from tests.executors import AtOnce
from tests.ofa.train.supernet_trainings import ADAMW, QUICK, STEPS, Stop, fit, same, stop_at, without_time

RECIPES = {
    "sgd": {},
    "adamw": {"optimizer": ADAMW},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "single": {"strategy": single},
    "progressive": {"strategy": progressive, "schedule": partial(restarts, phases=OFA_PHASES)},
    "batches of their own": {"strategy": partial(sandwich, label_weight=1.0), "batch_size": 8, "batches_per_step": 4},
    "layer rates": {"layer_decay": 0.5},
    "early stop": {"patience": 2, "validate_every": 1, "optimizer": partial(ADAMW, lr=0.5), "ema": 0.5},
    "label weight, gradients, sampling": {
        "strategy": partial(
            combined,
            strategy=partial(sampled, strategy=partial(sandwich, label_weight=by_skill), draw=attentive),
            combine=without_conflicts,
        ),
    },
    "warm start, average teacher": {
        "strategy": partial(warm_start, strategy=partial(taught_by_average, strategy=sandwich), fraction=0.4),
        "ema": 0.5,
    },
    "all": {
        "strategy": progressive,
        "schedule": partial(restarts, phases=OFA_PHASES),
        "optimizer": ADAMW,
        "accumulation": 2,
        "ema": 0.5,
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("every", "stops"), [(1, (1, 3)), (2, (2, 5, 8))], ids=str)
def test_resume_gives_the_same_bits(make_supernet, data, tmp_path, recipe, every, stops):
    settings = QUICK | RECIPES[recipe]
    path = tmp_path / "training.safetensors"
    saving = {"checkpoint": path, "checkpoint_steps": every}
    whole = make_supernet()
    history = fit(whole, data, **settings)
    for step in stops:
        stopping = settings | {"strategy": stop_at(step, settings["strategy"])}
        with pytest.raises(Stop):  # once there is a file, the weights come from it and from nowhere else
            fit(make_supernet(9 if path.exists() else 0), data, **stopping, **saving)
    resumed = make_supernet(9)
    assert without_time(fit(resumed, data, **settings, **saving)) == without_time(history)
    assert same(whole.model, resumed.model)


def test_a_finished_training_is_loaded_and_not_repeated(make_supernet, data, tmp_path):
    path = tmp_path / "training.safetensors"
    first, second = make_supernet(), make_supernet(9)
    history = fit(first, data, **QUICK, checkpoint=path)
    written = path.stat().st_mtime_ns
    assert fit(second, data, **QUICK | {"strategy": sandwich}, checkpoint=path) == history
    assert same(first.model, second.model)
    assert path.stat().st_mtime_ns == written


CHANGES = {
    "batch_size": {"batch_size": 16},
    "seed": {"seed": 3},
    "strategy": {"strategy": partial(sandwich, random_subnets=1)},
    "optimizer": {"optimizer": ADAMW},
    "schedule": {"schedule": constant},
    "augment": {"augment": None},
    "epochs": {"epochs": 4},
    "accumulation": {"accumulation": 2},
    "ema": {"ema": 0.9},
    "layer_decay": {"layer_decay": 0.9},
    "patience": {"patience": 2},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_training_is_refused_by_name_and_kept(make_supernet, data, tmp_path, name):
    path = tmp_path / "training.safetensors"
    fit(make_supernet(), data, **QUICK, checkpoint=path)
    content = path.read_bytes()
    supernet, untouched = make_supernet(9), make_supernet(9)
    with pytest.raises(InvalidInput, match=f"{path} is of another training: .*{name}"):
        fit(supernet, data, **QUICK | CHANGES[name], checkpoint=path)
    assert path.read_bytes() == content
    assert same(supernet.model, untouched.model)


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused_and_kept(make_supernet, data, tmp_path, kept):
    path = tmp_path / "training.safetensors"
    fit(make_supernet(), data, **QUICK, checkpoint=path)
    content = path.read_bytes()
    content = content[: int(kept * len(content)) if isinstance(kept, float) else kept]
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{path} is truncated"):
        fit(make_supernet(), data, **QUICK, checkpoint=path)
    assert path.read_bytes() == content


def test_checkpoints_by_time(make_supernet, data, tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr("ofa.train.checkpoints.save_training", lambda path, *rest: saves.append(path))
    path = Path(tmp_path / "training.safetensors")
    monkeypatch.setattr("ofa.train.checkpoints.ThreadPoolExecutor", lambda *_: AtOnce())
    monkeypatch.setattr("ofa.train.pace.LARGEST_SHARE", 1.0)
    fit(make_supernet(), data, **QUICK, checkpoint=path, checkpoint_seconds=0.0)
    assert len(saves) == STEPS
    saves.clear()
    fit(make_supernet(), data, **QUICK, checkpoint=path, checkpoint_seconds=1e9)
    assert len(saves) == 1
    saves.clear()
    fit(make_supernet(), data, **QUICK, checkpoint=path, checkpoint_seconds=None, checkpoint_steps=4)
    assert len(saves) == 3  # after 4 and 8 steps, and at the end
