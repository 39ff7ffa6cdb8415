"""A supernet trained for one epoch on made-up images, and a search over it with fine-tuning."""

from __future__ import annotations

import pytest

from search.app.main import main
from search.candidates.space import CandidateSpace
from search.config.search import SearchRequest
from search.evaluation.tune import TunedNetwork
from search.run.cards import Setting
from search.run.paths import RunFolder
from search.study.tuning import FineTuning, tuning_of
from search.training.trained import Trained, load_trained
from tests.search.requests import request

QUICK = ["search=joint", "search.tuning.epochs=2", "search.tuning.rungs=[]", "search.tuning.rewind=0.5"]
QUICK += ["search.calibration_images=64"]
PLAIN: dict[str, Setting] = {"regularizer": "none", "distill": 0.0}


def joint_request(*overrides: str) -> SearchRequest:
    """Returns the request of `ofa search search=joint`."""
    made: SearchRequest = request("search", *QUICK, *overrides)
    return made


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = tmp_path_factory.mktemp("tuning") / "outputs"
    assert main(["train", "experiment=tiny", "train.epochs=2", f"outputs={folder}"]) == 0
    return RunFolder(folder / "tiny")


@pytest.fixture(scope="session")
def trained(run: RunFolder) -> Trained:
    return load_trained(run)


def made(run: RunFolder, trained: Trained, *overrides: str) -> FineTuning:
    """Returns the fine-tuning of a search."""
    tuning = tuning_of(joint_request(f"run={run.name}", f"outputs={run.root.parent}", *overrides), trained)
    assert tuning is not None
    return tuning


def tuned(run: RunFolder, trained: Trained, settings: dict[str, Setting], *overrides: str) -> TunedNetwork:
    """Returns the smallest subnet, fine-tuned with these settings."""
    tuning = made(run, trained, *overrides)
    space = CandidateSpace(trained.supernet.space, tuning.keys.parameters)
    candidate = space.candidate(trained.supernet.space.smallest, {**PLAIN, **settings})
    return tuning.tuner.tune(candidate, tuning.tuner.settings(candidate))
