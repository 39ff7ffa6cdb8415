"""Starts from files: of this toolkit and of others, whole and in shards; what is damaged or dangerous is refused."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import ofa
from ofa.checkpoint import save_supernet
from ofa.errors import InvalidInput
from ofa.identity import digest_of_tensors
from ofa.models import ResNet
from ofa.randomize import randomize_
from ofa.weights_file import read_weights


def network() -> ResNet:
    return ResNet((3, 8, 8), 4, depth=8, widths=[8, 8, 16])


def same(one: nn.Module, other: nn.Module) -> bool:
    states = one.state_dict(), other.state_dict()
    return states[0].keys() == states[1].keys() and all(torch.equal(states[0][n], states[1][n]) for n in states[0])


def test_a_record_says_what_was_done(tmp_path: Path) -> None:
    saved, model = randomize_(network()), network()
    torch.save({"state_dict": saved.state_dict(), "epoch": 3}, tmp_path / "w.pth")
    record = ofa.start.checkpoint(model, str(tmp_path / "w.pth"), ignore=["classifier"])
    assert record.source == str(tmp_path / "w.pth") and record.digest == digest_of_tensors(saved.state_dict())
    assert record.missing == record.ignored == ("classifier.weight", "classifier.bias")
    assert record.filled == len(saved.state_dict()) - 2
    assert "classifier.weight, classifier.bias as built" in str(record)


def test_equal_weights_have_one_digest_in_any_format(tmp_path: Path) -> None:
    saved = randomize_(network())
    torch.save(saved.state_dict(), tmp_path / "w.pt")
    save_file(saved.state_dict(), tmp_path / "w.safetensors")
    digests = {ofa.start.checkpoint(network(), str(tmp_path / name)).digest for name in ("w.pt", "w.safetensors")}
    assert len(digests) == 1


def test_one_of_several_state_dicts(tmp_path: Path) -> None:
    plain, average, model = randomize_(network()), randomize_(network(), 1), network()
    content: dict[str, Any] = {"model": plain.state_dict(), "ema": average.state_dict(), "optimizer": {"lr": 0.1}}
    torch.save(content, tmp_path / "w.pt")
    ofa.start.checkpoint(model, str(tmp_path / "w.pt"))
    assert same(model, plain)
    ofa.start.checkpoint(model, str(tmp_path / "w.pt"), key="ema")
    assert same(model, average)
    with pytest.raises(InvalidInput, match=r"no entry 'emma'; did you mean ema"):
        ofa.start.checkpoint(model, str(tmp_path / "w.pt"), key="emma")


def test_what_the_toolkit_saved(tmp_path: Path) -> None:
    supernet = ofa.Supernet(randomize_(network()), torch.randn(2, 3, 8, 8))
    ofa.save(supernet, tmp_path / "saved")
    (tmp_path / "run/supernet").mkdir(parents=True)
    save_supernet(supernet, tmp_path / "run/supernet/model.safetensors")
    for folder in ("saved", "run", "run/supernet"):
        model = network()
        record = ofa.start.supernet(model, str(tmp_path / folder))
        assert same(model, supernet.model) and record.source == str(tmp_path / folder)
        other = network()
        ofa.start.checkpoint(other, str(tmp_path / folder))
        assert same(other, supernet.model)


def test_transforms_of_kernels_stay_behind(tmp_path: Path) -> None:
    rules = ofa.SpaceRules(kernel_sizes={"*": [3, 5]}, kernel_transforms=True)
    net = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2, groups=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 4))
    supernet = ofa.Supernet(net, torch.randn(2, 3, 8, 8), rules)
    plain = {name for name in supernet.model.state_dict() if "transform" not in name}
    assert plain != supernet.model.state_dict().keys()
    ofa.save(supernet, tmp_path / "saved")
    model = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, 4))
    record = ofa.start.supernet(model, str(tmp_path / "saved"))
    assert record.filled == len(plain) and len(record.ignored) == len(supernet.model.state_dict()) - len(plain)


def shards(folder: Path, model: nn.Module) -> Path:
    """Writes a model's weights as Hugging Face's libraries do: three files and an index."""
    folder.mkdir()
    names = list(model.state_dict())
    files = {name: f"model-0000{number % 3 + 1}-of-00003.safetensors" for number, name in enumerate(names)}
    for file in set(files.values()):
        save_file({name: model.state_dict()[name] for name in names if files[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": files}))
    return folder


def test_shards_and_their_index(tmp_path: Path) -> None:
    saved, model, other = randomize_(network()), network(), network()
    folder = shards(tmp_path / "hub", saved)
    ofa.start.checkpoint(model, str(folder))
    ofa.start.checkpoint(other, str(folder / "model.safetensors.index.json"))
    assert same(model, saved) and same(other, saved)
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"names 3 files, and 1 of them are missing: model-00002"):
        ofa.start.checkpoint(model, str(folder))
    for text in ('{"weight_map": {"a": "../../etc/passwd"}}', "[]", "{", '{"weight_map": {}}'):
        (folder / "model.safetensors.index.json").write_text(text)
        with pytest.raises(InvalidInput, match=r"index\.json is damaged"):
            ofa.start.checkpoint(model, str(folder))


class Code:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize("how", ["torch", "pickle", "module"])
def test_no_file_runs_code(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = {"state_dict": network().state_dict(), "more": Code()}
    if how == "pickle":
        Path("w.pt").write_bytes(pickle.dumps(content))
    else:
        torch.save(network() if how == "module" else content, "w.pt")
    with pytest.raises(InvalidInput, match="not a state dict alone") as caught:
        read_weights("w.pt")
    assert not Path("executed").exists() and "weights_only" not in str(caught.value)
    assert how == "pickle" or ("ResNet" if how == "module" else "mkdir") in str(caught.value)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(name: str, share: float, tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "w.pt")
    save_file(network().state_dict(), tmp_path / "w.safetensors")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    with pytest.raises(InvalidInput, match=rf"{name} is (truncated|not a state dict)"):
        read_weights(tmp_path / name)


def test_what_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "best.pt")
    with pytest.raises(InvalidInput, match=r"bets\.pt does not exist \(did you mean best\.pt\?\)"):
        ofa.start.checkpoint(network(), str(tmp_path / "bets.pt"))
    with pytest.raises(InvalidInput, match=r"nor does the folder .*nowhere"):
        ofa.start.checkpoint(network(), str(tmp_path / "nowhere/w.pt"))
    with pytest.raises(InvalidInput, match=r"name one of its files: best\.pt"):
        ofa.start.checkpoint(network(), str(tmp_path))
    with pytest.raises(InvalidInput, match="use start=checkpoint"):
        shutil.move(tmp_path / "best.pt", tmp_path / "pytorch_model.bin")
        ofa.start.supernet(network(), str(tmp_path))


@pytest.mark.parametrize("content", [[1], {"epoch": 3}, {}, {"a": {"b": 1}}])
def test_what_is_no_state_dict(content: Any, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(InvalidInput, match="not a state dict of tensors by name"):
        read_weights(tmp_path / "w.pt")


def test_the_program_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs/start.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(program, names)
    assert names["record"].missing == ("classifier.weight", "classifier.bias")
