"""A small trained supernet, opened as the studio opens it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.app.main import main
from search.config.compressing import StudioRequest
from search.studio import server
from search.studio.opened import Opened, open_studio
from search.studio.session import Session
from tests.browser import Page, find_browser, open_page
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


@contextmanager
def served(opened: Opened) -> Iterator[str]:
    """Gives the address of a studio that is served."""
    uvicorn = pytest.importorskip("uvicorn")
    session = Session(opened)
    listener = server.bound(0)
    application = server.make_application(session.actions, session.state, "secret")
    serving = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=serving.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    yield f"http://{server.HOST}:{listener.getsockname()[1]}/secret/"
    serving.should_exit = True
    thread.join(10)
    listener.close()


@pytest.fixture(scope="package")
def url(opened: Opened) -> Iterator[str]:
    with served(opened) as address:
        yield address


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    program = find_browser()
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium-headless-shell")
    with open_page(program, tmp_path_factory.mktemp("browser")) as page:
        yield page
