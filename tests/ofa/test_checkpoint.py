"""A checkpoint comes back bit by bit, and anything else is refused by name."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ofa.checkpoint import (
    _checksum,
    checkpoint_meta,
    load_checkpoint,
    load_supernet,
    load_weights,
    save_checkpoint,
    save_supernet,
    weights,
)
from ofa.choice import Choice
from ofa.errors import InvalidInput
from ofa.space import Space

TENSORS = {
    "a": torch.randn(3, 4).t(),
    "scalar": torch.tensor(2.5, dtype=torch.float64),
    "half": torch.randn(5).bfloat16(),
    "count": torch.tensor([1, -2], dtype=torch.int64),
    "mask": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
}
META = {"step": 3, "losses": [0.1, 1 / 3, 1e-300], "name": "größe", "none": None}


def test_round_trip_is_exact(tmp_path):
    path = tmp_path / "folder" / "file.safetensors"
    save_checkpoint(path, TENSORS, META)
    tensors, meta = load_checkpoint(path)
    assert meta == META
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype and torch.equal(tensors[name], tensor)
    assert [entry.name for entry in path.parent.iterdir()] == ["file.safetensors"]


def test_every_truncation_is_refused_and_named(tmp_path):
    path = tmp_path / "file.safetensors"
    save_checkpoint(path, TENSORS, META)
    content = path.read_bytes()
    for kept in [*range(0, 16), *range(16, len(content), 37), len(content) - 1]:
        path.write_bytes(content[:kept])
        with pytest.raises(InvalidInput, match=f"{path} is truncated"):
            load_checkpoint(path)


def test_a_flipped_bit_is_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    save_checkpoint(path, TENSORS, META)
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{path} is damaged"):
        load_checkpoint(path)


@pytest.mark.slow
def test_equal_content_gives_equal_bytes(tmp_path):
    script = """
import sys, torch
from pathlib import Path
from ofa.checkpoint import save_checkpoint
names = sys.argv[2:]
save_checkpoint(Path(sys.argv[1]), {name: torch.arange(3) for name in names}, {name: 1 for name in sorted(names)})
"""
    names = [f"layer.{number}" for number in range(12)]
    for path, order in ((tmp_path / "a", names), (tmp_path / "b", names[::-1])):
        subprocess.run([sys.executable, "-c", script, str(path), *order], check=True, timeout=120)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    again = tmp_path / "c"
    for _ in range(5):
        save_checkpoint(again, *load_checkpoint(tmp_path / "a"))
        assert again.read_bytes() == (tmp_path / "a").read_bytes()


@pytest.mark.parametrize(
    ("old", "new"),
    [(b'step\\": 3', b'step\\": 4'), (b'"I64"', b'"U64"'), (b"[4,3]", b"[3,4]"), (b'"half"', b'"hall"')],
)
def test_an_edit_of_the_header_is_refused(tmp_path, old, new):
    path = tmp_path / "file.safetensors"
    save_checkpoint(path, TENSORS, META)
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(InvalidInput, match=f"{path} is damaged or was edited"):
        load_checkpoint(path)


@pytest.mark.parametrize("meta", ["[1]", "[" * 100_000, "{"])
def test_meta_that_is_no_object_is_refused_though_the_checksum_fits(tmp_path, meta):
    path = tmp_path / "file.safetensors"
    tensors = {"a": torch.zeros(2)}
    save_file(tensors, path, {"ofa_version": "2", "ofa_meta": meta, "ofa_sha256": _checksum(tensors, meta)})
    with pytest.raises(InvalidInput, match=f"{path} is damaged"):
        load_checkpoint(path)


def test_what_a_damaged_header_says_is_not_repeated_at_length(tmp_path):
    header = json.dumps({"w": {"dtype": "x" * 20_000, "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "odd.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(InvalidInput, match="not a checkpoint") as error:
        load_checkpoint(tmp_path / "odd.safetensors")
    assert len(str(error.value)) < 500 + len(str(tmp_path))


def test_files_of_others_are_refused(tmp_path):
    path = tmp_path / "file.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(InvalidInput, match=f"{path} was not written by ofa"):
        load_checkpoint(path)
    path.write_bytes(b"\x80\x04 a pickle, never loaded")
    with pytest.raises(InvalidInput, match=f"{path} is truncated or not a checkpoint"):
        load_checkpoint(path)
    save_file({"a": torch.zeros(2)}, path, {"ofa_version": "99", "ofa_meta": "{}"})
    with pytest.raises(InvalidInput, match="version 99, this program reads 2"):
        load_checkpoint(path)
    with pytest.raises(InvalidInput, match=r"none[.]safetensors does not exist"):
        load_checkpoint(tmp_path / "none.safetensors")
    with pytest.raises(InvalidInput, match="is not a file"):
        load_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file.safetensors"
    save_checkpoint(path, TENSORS, META)
    before = path.read_bytes()

    def full_disk(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"a": torch.zeros(9)}, {})
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight


def test_weights_hold_tied_tensors_once_and_load_in_place(tmp_path):
    model, other = Tied(), Tied()
    nn.init.normal_(model.norm.running_mean)
    assert "second.weight" not in weights(model)
    view = other.first.weight[:2]
    save_checkpoint(tmp_path / "file", weights(model), {})
    load_weights(other, load_checkpoint(tmp_path / "file")[0])
    for tensor, same in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(tensor, same)
    assert other.second.weight is other.first.weight
    assert torch.equal(view, model.first.weight[:2])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda held: held.pop("first.bias"), "the model has 'first.bias', x.safetensors does not"),
        (lambda held: held.update(new=torch.zeros(1)), "x.safetensors has 'new', the model does not"),
        (
            lambda held: held.update({"first.bias": torch.zeros(5)}),
            r"'first.bias' has shape \(5,\), the model's \(4,\)",
        ),
    ],
)
def test_weights_of_another_model_are_refused_and_nothing_is_loaded(change, words):
    model, held = Tied(), {name: tensor.clone() for name, tensor in weights(Tied()).items()}
    before = {name: tensor.clone() for name, tensor in weights(model).items()}
    change(held)
    with pytest.raises(InvalidInput, match=words):
        load_weights(model, held, "x.safetensors")
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())


def supernet(*values: int) -> SimpleNamespace:
    return SimpleNamespace(model=Tied(), space=Space((Choice("width", "first", values),)))


def test_a_supernet_comes_back_and_another_space_is_refused(tmp_path):
    path = tmp_path / "supernet.safetensors"
    first, second = supernet(2, 4), supernet(2, 4)
    save_supernet(first, path, {"config": "abc"})
    assert load_supernet(second, path) == {"config": "abc"}
    assert torch.equal(first.model.first.weight, second.model.first.weight)
    with pytest.raises(InvalidInput, match=f"{path} is of a supernet with another space"):
        load_supernet(supernet(1, 4), path)
    save_checkpoint(path, weights(first.model), {"step": 3})
    with pytest.raises(InvalidInput, match="holds no finished supernet"):
        load_supernet(second, path)


def test_what_was_loaded_does_not_change_with_the_file(tmp_path):
    path = tmp_path / "a.safetensors"
    save_checkpoint(path, {"a": torch.arange(64.0)}, {})
    tensors, _ = load_checkpoint(path)
    path.write_bytes(bytes(path.stat().st_size))  # the same file, not a new one in its place
    assert torch.equal(tensors["a"], torch.arange(64.0))


def test_the_meta_alone_is_that_of_the_whole(tmp_path):
    save_checkpoint(tmp_path / "a", TENSORS, META)
    assert checkpoint_meta(tmp_path / "a") == META == load_checkpoint(tmp_path / "a")[1]
    for name, content in (("none", None), ("short", (tmp_path / "a").read_bytes()[:50])):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InvalidInput, match=name):
            checkpoint_meta(tmp_path / name)
    save_file({"x": torch.ones(1)}, tmp_path / "other")
    with pytest.raises(InvalidInput, match="not written by ofa"):
        checkpoint_meta(tmp_path / "other")
