"""The record of a stage's data: a forged one is refused in a line, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.data import digits
from ofa.errors import InvalidInput
from search.run.stored_inputs import DATA, begin_with, check_same

SET = digits()


@pytest.mark.parametrize(
    "change",
    [
        lambda tensor: tensor.to(torch.bfloat16),
        lambda tensor: tensor.double(),
        lambda tensor: tensor[None],
        lambda tensor: tensor[:-1],
        lambda tensor: tensor + 1,
    ],
    ids=["half", "double", "shape", "shorter", "other"],
)
def test_a_forged_record_is_refused(tmp_path: Path, change: Callable[[Tensor], Tensor]) -> None:
    begin_with(SET, tmp_path, "force=true")
    check_same(SET, tmp_path, "force=true")
    tensors, meta = load_checkpoint(tmp_path / DATA)
    save_checkpoint(tmp_path / DATA, tensors | {"train.targets": change(tensors["train.targets"])}, meta)
    with pytest.raises(InvalidInput, match=r"data\.safetensors is damaged"):
        check_same(SET, tmp_path, "force=true")
