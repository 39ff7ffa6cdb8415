"""Every config under conf/: composed and made into objects; those of trainings are in test_configs_trained.py."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ofa.errors import InvalidInput
from search.app.main import VERBS
from search.candidates.limits import Limits
from search.device.devices import made_runtime
from search.objects import make_partial
from search.run.paths import conf_dir
from search.study.plan import SearchPlan
from search.study.study import run_study
from tests.composed import composed, options, plain
from tests.search.scored import ACCURACY, evaluation
from tests.search.synthetic import Oracle, block_space


def test_all_groups_are_tried() -> None:
    groups = {path.name for path in conf_dir().iterdir() if path.is_dir() and path.name != "__pycache__"}
    tried = {
        "model",
        "start",
        "teacher",
        "data",
        "space",
        "train",
        "device",
        "search",
        "sampler",
        "export",
        "experiment",
    }
    tried |= {"task"}  # in tests/ofa/task/test_training_tasks.py
    tried |= {"hydra"}  # launchers
    tried |= {"prune", "dense", "initializer"}  # in tests/search/app/test_prune_recipes.py
    tried |= {"engine"}  # in tests/search/engine
    tried |= {"finetune"}  # in tests/search/app/test_finetune.py
    tried |= {"compress"}  # in tests/search/app/test_compress_recipes.py
    tried |= {"logger"}  # in tests/search/training/test_loggers.py
    tried |= {"hydra"}  # below
    assert groups == tried
    assert {path.stem for path in conf_dir().glob("*.yaml")} == {*VERBS, "base"}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_composes(verb: str) -> None:
    assert composed(verb).run == "main"


@pytest.mark.parametrize("data", options("data"))
def test_every_data_set_takes_another_augmentation(data: str) -> None:
    first = "data/augment@data.augment.first=shift_1"
    config = composed("train", f"data={data}", "data/augment=rand_augment", first, "data.augment.magnitude=7")
    augment = make_partial("data.augment", config.data.augment)
    assert augment.keywords["magnitude"] == 7 and augment.keywords["first"].keywords == {"pixels": 1}
    images = torch.rand(32, 1, 8, 8)
    assert not torch.equal(augment(images, torch.Generator()), images)
    assert composed("train", f"data={data}", "data.augment=null").data.augment is None


@pytest.mark.parametrize("device", options("device"))
def test_every_device_is_a_runtime(device: str) -> None:
    config = plain(composed("profile", f"device={device}"), "device")["device"]
    assert config["name"] == device
    try:
        runtime = made_runtime(config["runtime"])
    except Exception as error:
        refused = error if isinstance(error, InvalidInput) else error.__cause__
        if isinstance(refused, InvalidInput):  # its library or its GPU is not here
            pytest.skip(str(refused))
        raise
    assert runtime.describe().get("threads", 1) == 1


# A search says to a sampler what its objectives are: with one and with three of them quickly.
@pytest.mark.parametrize("sampler", options("sampler"))
@pytest.mark.parametrize(
    "search",
    [pytest.param(name, marks=() if name in ("single", "joint") else pytest.mark.slow) for name in options("search")],
)
def test_every_sampler_searches(search: str, sampler: str, tmp_path: Path) -> None:
    config = plain(composed("search", f"search={search}", f"sampler={sampler}"), "search", "sampler")
    space = block_space(stages=2, blocks=3)
    oracle = Oracle(space)
    plan = SearchPlan(
        name="test",
        space=oracle.candidates,
        figures=oracle.candidate_figures,
        metrics=(ACCURACY,),
        evaluate=lambda candidate: evaluation(oracle.accuracy(candidate.arch), 0.0),
        evaluations=2,
        limits=Limits(({"latency_ms": float(oracle.figures([space.largest])["latency_ms"][0])},)),
        objective=config["search"]["objective"],
        sampler=make_partial("sampler", config["sampler"]),
    )
    assert run_study(plan, tmp_path / "journal.log").evaluated == 2


@pytest.mark.parametrize("export", options("export"))
def test_every_export_has_what_extract_reads(export: str) -> None:
    assert composed("extract", f"export={export}").export.calibration_images >= 1
