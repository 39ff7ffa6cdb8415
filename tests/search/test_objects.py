"""Factories of models are given what they take of what the data decides, and say what they could take."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ofa
from ofa.errors import InvalidInput
from search.app.main import main
from search.objects import build_task, make_model, offered

MODELS = """
from torch import nn

class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(channels, 16, 3, padding=1)
        self.head = nn.Linear(16, classes)

    def forward(self, images):
        return self.head(self.conv(images).relu().mean((2, 3)))

def shape_and_classes(input_shape, num_classes): return Net(input_shape[0], num_classes)
def channels(in_channels, num_classes=7, hidden=3): return Net(in_channels, num_classes)
def classes_only(num_classes): return Net(1, num_classes)
def nothing(): return Net(1, 10)
def anything(**given): return Net(given["input_shape"][0], given["num_classes"])
def needs_more(num_classes, hidden, depth): return Net(1, num_classes)
def no_network(num_classes): return num_classes
def failing_task(data): return data.nothing
def size(image_size): net = Net(1, 10); net.size = image_size; return net
"""


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "models_of_users.py").write_text(MODELS)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("models_of_users", None)


def made(name: str, shape: tuple[int, int, int] = (1, 8, 8), **given: Any) -> Any:
    return make_model({"_target_": f"models_of_users.{name}", **given}, shape, 10)


@pytest.mark.parametrize("name", ["shape_and_classes", "channels", "classes_only", "nothing", "anything"])
def test_it_is_given_what_it_takes(name: str) -> None:
    net = made(name)
    assert (net.conv.in_channels, net.head.out_features) == (1, 10)


def test_what_the_configuration_says_is_left_as_it_is() -> None:
    assert made("channels", num_classes=3, hidden=1).head.out_features == 3


def test_a_size_is_one_number_for_squares() -> None:
    assert made("size").size == 8
    assert list(made("size", (1, 8, 12)).size) == [8, 12]


def test_what_it_needs_besides_is_named_with_what_it_could_take() -> None:
    with pytest.raises(InvalidInput) as refusal:
        made("needs_more", depth=3)
    line = str(refusal.value)
    assert "models_of_users.needs_more needs hidden: give model.hidden=..." in line
    assert all(name in line for name in offered((1, 8, 8), 10))
    with pytest.raises(InvalidInput, match=r"made a int; it must return an nn\.Module"):
        made("no_network")


def test_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conf/model").mkdir(parents=True)
    for name in ("channels", "needs_more"):
        (tmp_path / f"my_conf/model/{name}.yaml").write_text(f"_target_: models_of_users.{name}\n")
    tiny = ["data=synthetic", "data.dataset.image_size=8", "train.epochs=1", "--config-dir", "my_conf"]
    assert main(["train", "model=needs_more", *tiny]) == 2
    assert "needs hidden, depth: give model.hidden=..." in capsys.readouterr().err.splitlines()[-1]
    assert main(["train", "model=channels", *tiny]) == 0


@pytest.mark.parametrize(
    ("shape", "names"),
    [
        ((7,), {"in_features": 7}),
        ((2, 90), {"in_channels": 2, "in_chans": 2, "input_channels": 2}),
        ((3, 8, 6), {"in_channels": 3, "image_size": (8, 6)}),
    ],
)
def test_sizes_of_any_input_are_offered(shape: tuple[int, ...], names: dict[str, object]) -> None:
    given = offered(shape, 5)
    assert given["input_shape"] == shape and given["num_outputs"] == given["num_classes"] == 5
    assert names.items() <= given.items()


def test_a_task_that_fails_is_named() -> None:
    config = {"_target_": "models_of_users.failing_task", "_partial_": True}
    with pytest.raises(InvalidInput, match=r"task: models_of_users.failing_task: AttributeError: .*nothing"):
        build_task(config, ofa.data.synthetic(image_size=8, samples=40))
