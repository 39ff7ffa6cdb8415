"""What every test gets: one torch thread, no CUDA tests without CUDA, Hydra's global state cleared."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import settings

# A busy machine makes no test fail.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")

# Two test workers share two processors; results of a test must not depend on the number of threads either.
torch.set_num_threads(1)


def pytest_collection_finish() -> None:
    """What was imported stays: the garbage collector needs not look at it again and again, a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000)
    if "hydra" in sys.modules:
        from tests.hydra_loading import load_files_once

        load_files_once()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _hydra_starts_clean() -> Iterator[None]:
    yield
    os.environ.pop("PYTHONSAFEPATH", None)  # of a verb that ran in this process, for those that it starts
    if "hydra" in sys.modules:
        from hydra.core.global_hydra import GlobalHydra
        from hydra.core.hydra_config import HydraConfig

        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None  # of a verb that ran in this process


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
