"""A small trained supernet, opened as the studio opens it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.app.main import main
from search.config.compressing import StudioRequest
from search.studio.opened import Opened, open_studio
from search.studio.session import Session
from tests.search.requests import request

TRAIN = ["train", "experiment=tiny", "train.epochs=1", "train.batch_size=16", "train.validate_every=0"]


@pytest.fixture(scope="package")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Returns a folder with a run called tiny, which is the current one."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("studio")
        patch.chdir(folder)
        assert main(TRAIN) == 0
        yield folder


@pytest.fixture(scope="package")
def asked(place: Path) -> StudioRequest:
    made: StudioRequest = request("studio", "run=tiny", "calibration_images=128")
    return made


@pytest.fixture(scope="package")
def opened(asked: StudioRequest) -> Opened:
    return open_studio(asked)


@pytest.fixture
def session(asked: StudioRequest, opened: Opened) -> Session:
    return Session(opened)
