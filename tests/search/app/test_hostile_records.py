"""Records of a real run with one wrong value each, and a checksum that fits: readers end in one line, or go on."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ofa.errors import InvalidInput
from ofa.records import HEAD, checksum_of
from search.app.main import main
from search.report.gather import gather
from search.report.gather_sweep import gather_sweep
from search.report.page import render
from search.run.paths import RunFolder
from search.study.warm_start import earlier_candidates
from search.subnets.chosen import chosen_subnets, found_by_searches
from tests.search.app.opened import opened_files

WRONG = [KeyError, None, -1, "x", [], {}, 10**30, True, 1e300]
READERS: list[Callable[[RunFolder], Any]] = [
    lambda run: render(gather(run)),
    gather_sweep,
    lambda run: chosen_subnets(found_by_searches(run)),
    lambda run: earlier_candidates(run, ["onnxruntime"], 5),
]
MET = ["latency_ms=[1000,2000]", "study=onnxruntime"]  # limits that everything meets
PRUNE = ["model=lenet5", "data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=320", "run=tiny"]
PRUNE += ["dense.epochs=1", "dense.batch_size=32", "prune=channels", "prune.retraining.epochs=1", "name=slim"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunFolder]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("hostile")
        patch.chdir(folder)
        assert main(["run", "experiment=tiny", "train.epochs=1", "search.evaluations=6", *MET]) == 0
        assert main(["compare", "run=tiny"]) == 0
        assert main(["prune", *PRUNE]) == 0
        assert main(["compress", "run=tiny", "pruned=slim", "compress=code_only"]) == 0
        yield RunFolder(folder / "outputs/tiny")


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields where values are, the first of every list alone."""
    if above:
        yield above
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, inner in items:
        if above or key not in HEAD:
            yield from places(inner, (*above, key))


def files_of(run: RunFolder) -> list[Path]:
    """Returns the records of a run, of those with the same name and the same places one: each has the same fields."""
    files = sorted(path for path in run.root.rglob("*.json") if path.parent.name != "profiles")
    shapes = {(path.name, *places(json.loads(path.read_text()))): path for path in files}
    return list(shapes.values())


def changed(content: dict[str, Any], place: tuple[Any, ...], wrong: Any) -> str:
    """The text of a file whose value at `place` is another one, or is gone where `wrong` is a KeyError."""
    value = copy.deepcopy(content)
    inner: Any = value
    for key in place[:-1]:
        inner = inner[key]
    if wrong is KeyError:
        del inner[place[-1]]
    else:
        inner[place[-1]] = wrong
    del value["checksum"]
    return json.dumps({**value, "checksum": checksum_of(value)})


def opened_by(reader: Callable[[RunFolder], Any], run: RunFolder) -> set[Path]:
    with opened_files() as opened:
        reader(run)
    return opened


@pytest.mark.slow
def test_no_wrong_value_is_met_by_anything_but_one_line(run: RunFolder) -> None:
    refused = set()
    readers_of = {reader: opened_by(reader, run) for reader in READERS}
    for path in files_of(run):
        readers = [reader for reader, opened in readers_of.items() if path in opened]  # to others it cannot matter
        whole = path.read_text()
        content = json.loads(whole)
        shallow = (place for place in places(content) if len(place) <= 3 or not path.name.endswith("stage.json"))
        for number, place in enumerate(shallow):
            path.write_text(changed(content, place, WRONG[number % len(WRONG)]))
            for reader in readers:
                try:
                    reader(run)
                except InvalidInput as error:
                    refused.add(path.name)
                    assert "\n" not in str(error)
        path.write_text(whole)
    assert refused >= {"supernet.json", "history.json", "finalists.json", "trials.json", "comparison.json", "card.json"}
    assert refused >= {"stage.json", "onnxruntime.json", "onnxruntime.stage.json"}
    assert render(gather(run))
