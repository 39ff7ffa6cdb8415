"""A search with a runtime whose times follow the weights: nothing is measured, so that it is the same each time."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from ofa.records import read_record
from search.app.main import main
from search.candidates.search_files import TrialRow, Trials
from search.config.request import Device, Sampling
from search.config.search import FigureLimits, FinalistSettings, SearchOptions, SearchRequest
from search.device.devices import search_devices
from search.run.paths import SearchFolder
from search.subnets.run_search import check_search, run_search
from search.training.trained import Trained, load_trained
from tests.search.simulated_clock import run_of, simulated_clock


class Steady:
    """A runtime that takes a time for each weight."""

    name = "steady"

    def load(self, net: Any, example_input: Any) -> Any:
        return run_of(40 + 0.005 * sum(each.numel() for each in net.parameters()))

    def describe(self) -> dict[str, Any]:
        return {"name": "steady", "threads": 1}


@pytest.fixture(scope="module", name="request_")
def fixture_of_request(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SearchRequest]:
    module = ModuleType("runtime_that_is_steady")
    module.Steady = Steady  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    outputs = tmp_path_factory.mktemp("search") / "outputs"
    assert main(["train", "experiment=tiny", "train.epochs=1", f"outputs={outputs}"]) == 0
    yield SearchRequest(
        run="tiny",
        outputs=str(outputs),
        device=Device(
            name="steady",
            runtime={"_target_": "runtime_that_is_steady.Steady"},
            profile=Sampling(anchors=8, blocks=0, visits=6, repeats=2, seconds=2.0, alignment=False),
        ),
        search=SearchOptions(
            evaluations=6,
            limits=FigureLimits(params=1e5),
            latency_fractions=None,
            calibration_images=64,
            artifacts=False,
            finalists=FinalistSettings(candidates=1, visits=6, repeats=2, seconds=1.0),
        ),
        sampler={"_target_": "search.samplers.random", "_partial_": True},
    )
    del sys.modules[module.__name__]


@pytest.fixture(scope="module", name="trained")
def fixture_of_trained(request_: SearchRequest) -> Trained:
    return load_trained(request_.folder)


def searched(request: SearchRequest, trained: Trained) -> tuple[bool, tuple[TrialRow, ...]]:
    """Returns whether a search ran, and its trials."""
    with simulated_clock():
        check_search(request)
        devices = search_devices(request, trained, force=False, as_it_is=True)
        ran = run_search(request, trained, devices)
    return ran, read_record(SearchFolder(request.folder.search(request.name)).trials, Trials).rows
