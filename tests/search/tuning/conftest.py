"""A supernet trained for one epoch on made-up images, and a search over it with fine-tuning."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from search.app.main import main
from search.app.tuning import Tuning, tuning_of
from search.paths import RunFolder, conf_dir
from search.trained import Trained, load_trained

QUICK = ["search=joint", "search.tuning.epochs=2", "search.tuning.rungs=[]", "search.tuning.rewind=0.5"]
QUICK += ["search.calibration_images=64"]


def joint_config(*overrides: str) -> DictConfig:
    """Returns the configuration of `ofa search search=joint`."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        config = compose("search", [*QUICK, *overrides])
    GlobalHydra.instance().clear()
    return config


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("tuning") / "outputs"
    assert main(["train", "experiment=tiny", "train.epochs=2", f"outputs={folder}"]) == 0
    return RunFolder(folder / "tiny")


@pytest.fixture(scope="session")
def trained(run: RunFolder) -> Trained:
    return load_trained(run)


def made(run: RunFolder, trained: Trained, *overrides: str) -> Tuning:
    """Returns the fine-tuning of a configuration."""
    tuning = tuning_of(joint_config(*overrides), run, trained)
    assert tuning is not None
    return tuning
