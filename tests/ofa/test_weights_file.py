"""Weights of a file that other programs write: they fill the model, or nothing is changed and the error says why."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.randomize import randomize_
from ofa.weights_file import load_weights_


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 4)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.norm(self.embedding(tokens)))


WAYS = {
    "plain": lambda state: state,
    "nested": lambda state: {"epoch": 3, "state_dict": state},
    "of DataParallel": lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
    "nested, of torch.compile": lambda state: {"model": {f"_orig_mod.{name}": value for name, value in state.items()}},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_saved_state_dict_fills_the_model(way: str, tmp_path: Path) -> None:
    saved, model = randomize_(Tied()), Tied()
    torch.save(WAYS[way](saved.state_dict()), tmp_path / "weights.pt")
    load_weights_(model, tmp_path / "weights.pt")
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in saved.state_dict().items())
    assert model.head.weight is model.embedding.weight


def test_safetensors_with_a_tied_weight_once(tmp_path: Path) -> None:
    saved, model = randomize_(Tied()), Tied()
    save_file({k: v for k, v in saved.state_dict().items() if k != "head.weight"}, tmp_path / "w.safetensors")
    load_weights_(model, tmp_path / "w.safetensors")
    assert torch.equal(model.head.weight, saved.embedding.weight)
    assert torch.equal(model.norm.running_var, saved.norm.running_var)


class Anything:
    pass


BAD = {
    "another network": (
        nn.Linear(2, 2).state_dict(),
        r"lacks embedding\.weight, norm\.weight, .*the model lacks weight",
    ),
    "another size": ({**Tied().state_dict(), "embedding.weight": torch.zeros(9, 4)}, r"\(9, 4\).*\(7, 4\)"),
    "a whole object": (Anything(), "not a state dict alone"),
    "a list": ([1, 2], "holds a list"),
}


@pytest.mark.parametrize("case", BAD)
def test_another_file_changes_nothing(case: str, tmp_path: Path) -> None:
    content, message = BAD[case]
    torch.save(content, tmp_path / "weights.pt")
    model = Tied()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(InvalidInput, match=message):
        load_weights_(model, tmp_path / "weights.pt")
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_a_damaged_or_missing_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="does not exist"):
        load_weights_(Tied(), tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00damaged" * 9)
    with pytest.raises(InvalidInput, match=name):
        load_weights_(Tied(), tmp_path / name)
