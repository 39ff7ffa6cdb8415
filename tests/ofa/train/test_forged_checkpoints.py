"""Training checkpoints whose checksum fits and whose content cannot be: refused in a line, by whoever goes on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ofa import Supernet
from ofa.checkpoint import load_checkpoint, load_supernet, save_checkpoint, save_supernet
from ofa.data import digits
from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.train import TrainSettings, sandwich, train

DATA = digits()


def made() -> Supernet:
    return Supernet(ResNet((1, 8, 8), 10, depth=8, widths=(16, 16, 32)), torch.randn(2, 1, 8, 8))


def trained(path: Path, stop_step: int | None) -> None:
    train(
        made(),
        DATA,
        sandwich,
        TrainSettings(
            optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9),
            epochs=1,
            batch_size=512,
            checkpoint_steps=1,
            validate_every=0,
            stop_step=stop_step,
        ),
        checkpoint=path,
    )


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    path = tmp_path_factory.mktemp("cut") / "checkpoint.safetensors"
    trained(path, 1)
    return load_checkpoint(path)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": []},
        {"settings": None},
        {"progress": 3},
        {"progress": {"step": -1}},
        {"progress": {"step": "one"}},
        {"optimizer": []},
        {"optimizer": {"conv1.weight": 1}},
        {"optimizer": {"no.such.weight": {}}},
        {"precision": [1]},
        {"parts": []},
        {"parts": {"average": 3}},
        {"parts": {"average": {}}},
    ],
)
def test_parts_that_cannot_be_are_refused(tmp_path: Path, held: Any, change: dict[str, Any]) -> None:
    path = tmp_path / "checkpoint.safetensors"
    tensors, meta = held
    save_checkpoint(path, tensors, meta | change)
    with pytest.raises(InvalidInput) as caught:
        trained(path, None)
    assert str(caught.value).isprintable()


def test_a_supernet_without_meta_is_refused(tmp_path: Path) -> None:
    path, supernet = tmp_path / "model.safetensors", made()
    save_supernet(supernet, path)
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, meta | {"meta": 1})
    with pytest.raises(InvalidInput, match="its meta is not an object"):
        load_supernet(supernet, path)
