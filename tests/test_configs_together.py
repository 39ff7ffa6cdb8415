"""Configs of conf/ with others: launchers, experiments, keys."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

import ofa
from search.objects import make
from tests.composed import composed, options, plain


def test_slurm_takes_its_keys_to_submitit() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="hydra-submitit-launcher is not installed")
    assert options("hydra/launcher") == ["slurm"]
    asked = ["slurm.partition=long", "slurm.minutes=90", "slurm.memory_gb=8", "slurm.cpus=2", "slurm.jobs=3"]
    config = composed("search", "hydra/launcher=slurm", *asked, hydra=True)
    launcher = OmegaConf.to_container(config.hydra.launcher, resolve=False)
    assert isinstance(launcher, dict)
    assert launcher["_target_"].endswith("SlurmLauncher")
    taken = {key: config.hydra.launcher[key] for key in ("partition", "timeout_min", "mem_gb", "cpus_per_task")}
    assert taken == {"partition": "long", "timeout_min": 90, "mem_gb": 8, "cpus_per_task": 2}
    assert config.hydra.launcher.array_parallelism == 3
    assert "slurm" not in plain(composed("search"))


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_every_launcher_is_there_with_the_extra(launcher: str) -> None:
    name = launcher.partition("_")[0]
    pytest.importorskip(f"hydra_plugins.hydra_{name}_launcher", reason=f"hydra-{name}-launcher is not installed")
    config = composed("search", f"hydra/launcher={launcher}", hydra=True)
    assert name in str(config.hydra.launcher._target_)


def test_experiments_have_the_last_word_but_the_user() -> None:
    config = composed("run", "experiment=tiny")
    assert (config.run, config.train.epochs, config.model.depth) == ("tiny", 3, 8)
    assert composed("run", "experiment=tiny", "run=mine", "train.epochs=1").train.epochs == 1


def test_the_slurm_launcher_composes_with_its_keys() -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    overrides = ["hydra/launcher=slurm", "slurm.partition=cpu", "slurm.minutes=30"]
    launcher = composed("search", *overrides, hydra=True).hydra.launcher
    assert launcher._target_.endswith("SlurmLauncher")
    assert (launcher.partition, launcher.timeout_min, launcher.mem_gb, launcher.cpus_per_task) == ("cpu", 30, 4, 1)


def test_every_key_of_a_space_is_a_rule() -> None:
    for space in options("space"):
        assert isinstance(make(plain(composed("train", f"space={space}"), "space")["space"]), ofa.SpaceRules)
