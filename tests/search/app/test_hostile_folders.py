"""A run's folder from somebody else: whatever it names, no later verb calls it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ofa.errors import InvalidInput
from search.app.main import main
from search.networks.rebuild import load
from tests.search.app.hostile import (
    SETTINGS_FILES,
    Place,
    hostile_calls,
    mappings,
    put,
    read,
    runs_a_program,
    targets_of,
    write,
)
from tests.search.app.opened import opened_files

EAGER = "device.runtime._target_=search.device.runtimes.TorchEager"
DEVICE = [
    "device.name=laptop",
    EAGER,
    "device.profile.anchors=8",
    "device.profile.blocks=6",
    "device.profile.visits=6",
    "device.profile.seconds=2",
]
SEARCH = ["search", "run=tiny", *DEVICE, "search.evaluations=4", "search.calibration_images=64"]
SEARCH += ["search.finalists.visits=6", "search.finalists.seconds=1"]
SEARCH += ["latency_ms=1000", "study=laptop"]  # a limit that everything meets
COMPARE = ["compare", "run=tiny", "visits=6", "repeats=2", "seconds=1", "calibration_images=64"]
READ_MOST = ("extract", "report", "search goes on")
# Every verb that reads a run, in ways that make it read all that it can.
VERBS = {
    "extract": ["extract", "run=tiny", "force=true", "export.calibration_images=64"],
    "extract one trial": ["extract", "run=tiny", "trial=0", "force=true", "export.calibration_images=64"],
    "compare": [*COMPARE, "force=true"],
    "profile": ["profile", "run=tiny", *DEVICE],
    "bundle": [
        "profile",
        "run=tiny",
        "device=pi5",
        "bundle=pi5.zip",
        "device.profile.anchors=8",
        "device.profile.blocks=6",
    ],
    "search goes on": [*SEARCH, "search.evaluations=5"],
    "search of named devices": [*SEARCH, "study=named", "device.name=own", "latency_ms={laptop:1000}"],
    "search from another": [*SEARCH, "study=warm", "search.warm_start=[laptop]"],
    "train": ["train", "experiment=tiny", "train.epochs=1"],
    "report": ["report", "run=tiny"],
    "sweep": ["sweep", "run=tiny"],
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run that has something of every verb."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("hostile")
        patch.chdir(place)
        assert main(["train", "experiment=tiny", "train.epochs=1"]) == 0
        assert main(SEARCH) == 0
        assert main(["extract", "run=tiny", "export.calibration_images=64"]) == 0
        assert main(COMPARE) == 0
        yield place


@pytest.fixture
def run(honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(honest / "outputs", tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs/tiny"


@pytest.mark.slow
def test_every_hostile_call_is_refused_by_name(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run.parent.parent
    canary = folder / "canary"
    places = {"supernet/config.yaml": ("model",), "profiles/laptop.stage.json": ("config", "runtime")}
    files = [*places, "supernet/supernet.json"]
    before = {file: (run / file).read_bytes() for file in files}
    for number, call in enumerate(hostile_calls(folder, canary)):
        readers = [("supernet/config.yaml", "extract")]
        if number == 0:  # every reader asks the same check
            readers += [("profiles/laptop.stage.json", verb) for verb in ("compare", "search of named devices")]
        for file, verb in readers:
            put(run, Place(file, places[file]), call)
            assert main(VERBS[verb]) == 2
            line = capsys.readouterr().err.splitlines()[-1]
            assert file in line
            assert ("${oc.env:HOME}" if "${oc.env:HOME}" in str(call) else "calls '") in line
            assert not canary.exists(), call
            for name, content in before.items():
                (run / name).write_bytes(content)


def test_every_stored_target_is_checked(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each `_target_` that a run's files hold, one after the other: whoever reads it refuses it."""
    canary = run.parent.parent / "canary"
    places = targets_of(run)
    assert {place.file for place in places} >= {
        *("supernet/config.yaml", "supernet/stage.json", "profiles/laptop.stage.json"),
        *("search/laptop/stage.json", next(run.glob("subnets/laptop-*ms")).relative_to(run).as_posix() + "/card.json"),
    }
    readers = {"supernet/config.yaml": "extract", "profiles/laptop.stage.json": "compare"}
    for place in places:
        before = {name: (run / name).read_bytes() for name in (place.file, "supernet/supernet.json")}
        put(run, place, runs_a_program(canary))
        if place.file in readers:
            assert main(VERBS[readers[place.file]]) == 2
            line = capsys.readouterr().err.splitlines()[-1]
            assert "'setuptools._distutils.spawn.spawn'" in line and "trust=[setuptools]" in line
        for name, content in before.items():
            (run / name).write_bytes(content)
        assert not canary.exists(), place


def opened_by(verb: str, honest: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Returns the files of a run that a verb opens."""
    shutil.copytree(honest / "outputs", place / "outputs")
    monkeypatch.chdir(place)
    with opened_files() as opened:
        assert main(VERBS[verb]) == 0
    shutil.rmtree(place)
    run = place / "outputs/tiny"
    return {path.relative_to(run).as_posix() for path in opened if path.is_relative_to(run)}


@pytest.mark.slow
def test_no_verb_calls_what_any_file_names(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A `_target_` in every mapping of a file: of each alone for verbs that read it, of all for every verb."""
    files = sorted(path for pattern in SETTINGS_FILES for path in (honest / "outputs/tiny").rglob(pattern))
    names = [path.relative_to(honest / "outputs/tiny").as_posix() for path in files]
    later = [name for name in names if not name.startswith(("supernet/", "profiles/"))]  # others end it at once
    canary = tmp_path / "canary"
    read_by = {verb: opened_by(verb, honest, tmp_path / "honest", monkeypatch) for verb in READ_MOST}
    cases = [([name], tuple(verb for verb, opened in read_by.items() if name in opened)) for name in names]
    assert {name for names, verbs in cases if verbs for name in names} >= {*names} - {*later}
    cases += [(later, tuple(VERBS))]
    for number, (hostile, verbs) in enumerate(cases):
        place = tmp_path / str(number)
        shutil.copytree(honest / "outputs", place / "outputs")
        monkeypatch.chdir(place)
        for name in hostile:
            content = read(place / "outputs/tiny" / name)
            for keys in sorted(mappings(content), key=len, reverse=True):
                put(place / "outputs/tiny", Place(name, keys), runs_a_program(canary), keep=True)
        for verb in verbs:
            assert main(VERBS[verb]) in (0, 2), (verb, hostile, capsys.readouterr().err)
            assert not canary.exists(), (verb, hostile)
        shutil.rmtree(place)


def test_a_subnets_card_calls_nothing(run: Path) -> None:
    canary = run.parent.parent / "canary"
    card, *_ = (path.relative_to(run).as_posix() for path in run.glob("subnets/laptop-*ms/card.json"))
    before = (run / card).read_bytes()
    for call in hostile_calls(run.parent.parent, canary):
        put(run, Place(card, ("rebuild", "model")), call)
        with pytest.raises(InvalidInput, match=r"card\.json"):
            load((run / card).parent)
        assert not canary.exists(), call
        (run / card).write_bytes(before)


def test_a_study_in_a_database_that_only_the_folder_names_is_not_asked(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OFA_STORAGE_PASSWORD", "secret")
    path = run / "search/laptop/stage.json"
    stamp = read(path)
    stamp["config"]["storage"] = "postgresql://hostile.example/ofa"
    write(path, stamp)
    assert main(["dashboard", "run=tiny"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "add storage=postgresql://hostile.example/ofa" in line
    assert main(["dashboard", "run=tiny", "storage=postgresql://db.example/ofa"]) == 2
    assert "storage=postgresql://db.example/ofa: " in capsys.readouterr().err


MODEL = """
from torch import nn

class Net(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(input_shape[0], 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        )
        self.head = nn.Linear(32, num_classes)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))
"""


@pytest.mark.slow
def test_a_model_of_the_users_goes_through_every_verb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "nets_of_mine.py").write_text(MODEL)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    (tmp_path / "my_conf/model/mine.yaml").write_text("_target_: nets_of_mine.Net\n")
    quick = ["train.epochs=1", "train.calibration_images=64", "data.dataset.image_size=8", "data.dataset.samples=320"]
    assert main(["train", "model=mine", "data=synthetic", "run=tiny", *quick, "--config-dir", "my_conf"]) == 0
    trust = "trust=[nets_of_mine]"
    for command in (SEARCH, VERBS["bundle"], COMPARE, VERBS["extract"]):
        capsys.readouterr()
        assert main(command) == 2
        assert f"add {trust} if you know who wrote it" in capsys.readouterr().err
        assert main([*command, trust]) == 0
    folder, *_ = tmp_path.glob("outputs/tiny/subnets/laptop-*ms")
    with pytest.raises(InvalidInput, match=r"trust=\[nets_of_mine\]"):
        load(folder)
    assert type(load(folder, trust=["nets_of_mine"])).__name__ == "Net"
