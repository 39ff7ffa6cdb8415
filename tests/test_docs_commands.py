"""The commands of README.md and docs/ run, page by page and in their order, with less of everything."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path

import pytest

from search.app.main import main
from tests.documentation import PAGES, Command, page_name
from tests.made_once import made_once
from tests.reader_files import reader_configs, write_code, write_data, write_texts, write_weights
from tests.runnable_commands import NOT_RUN, RUNS, runnable, why_not
from tests.search.app.another_machine import on_the_device, time_by_macs
from tests.search.steady_device import runtimes_of, steady_device
from tests.small_commands import key, less
from tests.stopped_servers import stopped_servers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # the machine may be busy
MADE = (
    "train experiment=tiny run=main",
    "train experiment=tiny run=second",
    "profile",
    "profile device=eager",
    "profile device=laptop --config-dir my_conf",
    "profile device=onnxruntime_int8",
    "search study=onnxruntime",
    "search study=pi5 latency_ms=4",
    "search study=pi5-2ms latency_ms=2 run=second",
    "search latency_ms=4",
    "extract",
    "prune model=lenet300 name=NAME",
    "train experiment=language data.dataset.limit=20000 train.batch_size=16",
)
BOARD = "profile device=pi5 import=profile.json"
# What is read differently: how quick a network is hangs on the machine.
READ = {
    r"^limit=0\.2$": "limit=4",
    r"^latency_ms=0\.3$": "latency_ms=1",
    r"macro_f1: .*}": 'accuracy: ">= 0.1"}',
    "dataset.validation=1000": "dataset.validation=20",
    "size: 224": "size: 16",
    r"^run=cifar$": "run=second",
    "subnets/thin": "subnets/onnxruntime-4ms",
    r"search\.limits\.bytes=20000": "search.limits.bytes=100000",
}
IS_LANGUAGE = re.compile(r"device\.profile\.sequence|first: 40")
# All commands of these are given one after the other, and get nothing that lets them; those of other pages are
# alternatives, which replace each other.
IN_ORDER = ("README.md",)


def run(words: list[str]) -> None:
    """Runs a command, which has to end well."""
    assert main(words) == 0, " ".join(words)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with what the readers of every page have: data, and a run with profiles, searches, networks."""
    return made_once(tmp_path_factory, "documented", make)


def make(folder: Path) -> None:
    """Fills the folder."""
    with pytest.MonkeyPatch.context() as patch, steady_device():
        patch.chdir(folder)
        write_data(folder)
        write_texts(folder, reader_configs())
        for line in MADE:
            run(less(line.split()))
        run(less(["profile", "device=pi5", "bundle=pi5.zip"]))
        shutil.move(on_the_device(folder / "pi5.zip", folder / "board"), "profile.json")
        time_by_macs(folder, folder / "profile.json", run="main")  # whatever else runs here
        run(less(BOARD.split()))


def as_run(command: Command, folder: Path) -> list[str]:
    """Returns the words of a command as they are run."""
    words = command.words[1:]
    for written, instead in READ.items():
        words = [re.sub(written, instead, word) for word in words]
    words = less([word.replace("/data/", f"{folder}/") for word in words])
    verb, *overrides = words
    there = {key(word) for word in overrides}
    for name in ("cifar10", "mnist"):
        if f"data={name}" in overrides and "data.dataset.path" not in there:
            words += [f"data.dataset.path={folder}/{name}"]
    again = (verb in ("search", "extract") and command.page not in IN_ORDER) or "run=second" in words
    if again and "force" not in there:
        words += ["force=true"]
    if "model=mine" in overrides and "--config-dir" not in overrides:
        words += ["--config-dir", "my_conf"]  # of a sentence
    if IS_LANGUAGE.search(command.line):
        words += ["run=language"]
    if verb in ("train", "run"):
        if not there & {"experiment", "data", "model"}:
            words += ["experiment=tiny"]
        if "run" not in there and command.page not in IN_ORDER:
            words += [f"run=trained_{len(list(folder.glob('outputs/*')))}"]
    return words


@pytest.mark.parametrize("path", RUNS, ids=page_name)
def test_commands_of_a_page_run(path: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "reader"
    shutil.copytree(made, folder)
    write_code(folder, path)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=":")
    monkeypatch.delitem(sys.modules, "my_package", raising=False)
    own = runtimes_of(importlib.import_module("my_package"))
    with steady_device(*own), stopped_servers():
        for command in runnable(path):
            if why_not(command) is None:
                words = as_run(command, folder)
                write_weights(words[0], words[1:])
                run(words)


def test_what_is_not_run_is_in_the_pages() -> None:
    lines = [str(command) for path in PAGES for command in runnable(path)]
    assert [part for part in NOT_RUN if not any(part in line for line in lines)] == []
