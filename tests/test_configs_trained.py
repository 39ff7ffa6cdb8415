"""Every config of a model, a start, a teacher, a training, a space, data and an experiment: trained for two steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig

import ofa
from ofa.data import BatchSource, Dataset, Split
from ofa.data.targets import rows_of_targets
from search.config.read import converted
from search.config.tuning import SupernetRecipe
from search.objects import build_data, build_supernet, build_task
from search.run.paths import conf_dir
from search.training.starts import Beginning
from search.training.trained import run_training
from tests.composed import FITTING, composed, options, plain
from tests.ofa import hub_packages
from tests.stored_data import STORED, stored

OTHER_DATA = {  # by model, the data that it is for, and its task; data=synthetic for all others
    "gpt": ["data=text", "data.dataset.samples=160"],
    "unet": ["data=shapes", "task=segmentation", "data.dataset.image_size=16", "data.dataset.samples=160"],
    "center_net": [
        *("data=shapes", "data.dataset.targets=boxes", "task=detection", "train.strategy.label_weight=1"),
        *("data.dataset.image_size=32", "data.dataset.samples=160"),
    ],
}
LIBRARIES = {  # models that are told which one
    "timm": (hub_packages.timm, ["model.name=resnet10t"]),
    "transformers": (hub_packages.transformers, [f"model.config={json.dumps(hub_packages.VIT)}".replace('"', "")]),
}
IMAGES = {"lenet5": 8, "lenet5_caffe": 16, "mobilenet": 16}  # pixels; 8 for all others
STAGES = [
    "{width: 8, blocks: 1, expansion: 1, squeeze_excite: false, activation: relu}",
    "{width: 16, blocks: 2, expansion: 3, kernel_size: 5, stride: 2}",
]
EIGHT_STEPS = ["train.epochs=1", "train.batch_size=32", "train.validate_every=0", "train.calibration_images=32"]
EIGHT_STEPS += ["train.patience=null"]  # which counts validations
BLOCKS = {"adapt_adamw": "resnet20"}  # trainings that need a network of blocks


def small(data: Dataset, images: int = 64) -> Dataset:
    """Returns the data set with few images a split."""

    def cut(split: Split) -> Split:
        rows = torch.arange(min(images, len(split)))
        if isinstance(split.pixels, BatchSource):
            return split
        return replace(split, pixels=split.stored(rows), targets=rows_of_targets(split.targets, rows))

    return replace(data, train=cut(data.train), validation=cut(data.validation), test=cut(data.test))


def two_steps(config: DictConfig, data: Dataset | None = None) -> float:
    """Returns the loss after an epoch of the training that a configuration describes: two steps or four."""
    asked = plain(config, "model", "data", "task", "space", "train", "seed")
    asked |= {name: plain(config).get(name) for name in ("start", "teacher")}
    data = small(data or build_data(asked["data"]))
    task, fill = build_task(asked["task"], data), Beginning(asked["start"], None)
    supernet = build_supernet(asked["model"], asked["space"], data, 0, task=task, fill=fill)
    (row,) = run_training(supernet, data, converted(asked, SupernetRecipe), None)
    assert row["step"] in (2, 3, 4)  # the 64 images are two batches, or shared out among three or four networks
    return float(row["loss"])


def on_synthetic(*overrides: str, size: int = 8) -> DictConfig:
    return composed(
        "train",
        "data=synthetic",
        f"data.dataset.image_size={size}",
        "data.dataset.samples=160",
        *EIGHT_STEPS,
        *overrides,
    )


@pytest.mark.parametrize(
    "model", [pytest.param(name, marks=pytest.mark.slow if name == "mobilenet" else ()) for name in options("model")]
)
def test_every_model_trains(model: str) -> None:
    if model in LIBRARIES:
        package, settings = LIBRARIES[model]
        package()
        assert two_steps(on_synthetic(f"model={model}", *settings, size=16)) > 0
    elif model in OTHER_DATA:
        assert two_steps(composed("train", *EIGHT_STEPS, f"model={model}", *OTHER_DATA[model])) > 0
    else:
        assert two_steps(on_synthetic(f"model={model}", size=IMAGES.get(model, 8))) > 0


def stored_weights(start: str, folder: Path) -> list[str]:
    """Writes weights of lenet5 for images of 8 pixels as a start reads them, and returns what names them."""
    from ofa.models import LeNet5
    from ofa.randomize import randomize_

    net = randomize_(LeNet5((1, 8, 8), 4, channels=[16, 32], hidden=[128, 64], batch_norm=True))
    torch.save(net.state_dict(), folder / "weights.pt")
    ofa.save(ofa.Supernet(net, torch.randn(2, 1, 8, 8)), folder / "saved")
    places = {
        "fresh": [],
        "checkpoint": [f"start.path={folder}/weights.pt"],
        "supernet": [f"start.folder={folder}/saved"],
        "transformers": [f"start.name={folder}/saved"],
        "timm": ["start.name=resnet10t", f"start.path={folder}/weights.pt"],
    }
    return places[start]


@pytest.mark.parametrize("start", options("start"))
def test_every_start_trains(start: str, tmp_path: Path) -> None:
    if start in LIBRARIES:
        LIBRARIES[start][0]()
    config = on_synthetic("model=lenet5", f"start={start}", *stored_weights(start, tmp_path))
    before = two_steps(on_synthetic("model=lenet5"))
    assert (two_steps(config) == before) == (start == "fresh")


@pytest.mark.parametrize("teacher", options("teacher"))
def test_every_teacher_teaches(teacher: str, tmp_path: Path) -> None:
    from ofa.models import LeNet5

    other = ["model@teacher.model=lenet5", f"teacher.weights={tmp_path}/weights.pt", "teacher.model.channels=[4,8]"]
    torch.save(LeNet5((1, 8, 8), 4, channels=[4, 8], hidden=[128, 64], batch_norm=True).state_dict(), other[1][16:])
    average = [
        "train.strategy.label_weight=0.5",
        "train.batches_per_step=1",
        *(["train.ema=0.9"] if teacher == "average" else []),
    ]
    given = [f"teacher={teacher}", *(other if teacher == "network" else []), *average]
    before = two_steps(on_synthetic("model=lenet5", "train.epochs=1", *average))
    # After one step the average is the largest itself.
    assert (two_steps(on_synthetic("model=lenet5", *given)) == before) == (teacher in ("largest", "average"))


@pytest.mark.parametrize("strategy", options("train"))
def test_every_training_trains(strategy: str) -> None:
    assert two_steps(on_synthetic(f"model={BLOCKS.get(strategy, 'lenet5')}", f"train={strategy}")) > 0


@pytest.mark.parametrize("space", options("space"))
def test_every_space_has_subnets(space: str) -> None:
    depthwise = ["model=mobilenet", f"+model.stages=[{','.join(STAGES)}]"]
    config = on_synthetic(*(depthwise if "kernel" in space else ["model=resnet20"]), f"space={space}", size=16)
    data = build_data(plain(config, "data")["data"])
    supernet = build_supernet(config.model, config.space, data, 0)
    kinds = {choice.kind for choice in supernet.space.choices if len(choice.values) > 1}
    expected = {"width_only": {"width"}, "depth_only": {"depth"}, "default": {"width", "depth"}}
    assert kinds == expected.get(space, {"width", "depth", "kernel_size"})


@pytest.mark.parametrize("data", options("data"))
def test_every_data_set_is_read_and_augmented(data: str, tmp_path: Path) -> None:
    overrides = stored(tmp_path, data) if data in STORED else []
    fitting = FITTING.get(data, ("model=lenet5",))
    config = composed("train", f"data={data}", *fitting, *EIGHT_STEPS, *overrides)
    assert two_steps(config) > 0


@pytest.mark.parametrize("augment", options("data/augment"))
def test_every_augmentation_trains(augment: str) -> None:
    assert two_steps(on_synthetic("model=lenet5", f"data/augment={augment}")) > 0


@pytest.mark.parametrize("experiment", options("experiment"))
def test_every_experiment_trains_and_says_how_to_run_it(experiment: str) -> None:
    assert two_steps(composed("run", f"experiment={experiment}", *EIGHT_STEPS)) > 0
    header = (conf_dir() / f"experiment/{experiment}.yaml").read_text()
    assert f"ofa run experiment={experiment}" in header
    assert "Expected:" in header
    assert "Time:" in header
