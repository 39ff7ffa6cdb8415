"""Starts from transformers and timm: local folders and files that the test writes, and no network."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import ofa
from ofa.errors import InvalidInput
from ofa.models import from_timm, from_transformers
from ofa.models.library import library, offline
from ofa.randomize import randomize_
from tests.ofa import hub_packages as hub


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in one.state_dict().items())


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.parametrize("kind", ["AutoModelForSequenceClassification", "AutoModelForCausalLM"])
def test_a_folder_that_transformers_wrote(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hub.transformers()
    saved = randomize_(from_transformers((8,), 5, config=hub.GPT2, kind=kind))
    saved.save_pretrained(tmp_path)  # type: ignore[operator]
    net = from_transformers((8,), 5, name=str(tmp_path), kind=kind)
    capfd.readouterr()
    record = ofa.start.transformers(net, str(tmp_path))
    assert same(net, saved) and record.source == str(tmp_path) and not record.missing
    assert record.digest == ofa.start.checkpoint(net, str(tmp_path)).digest or kind.endswith("CausalLM")
    assert capfd.readouterr() == ("", "")


def test_shards_in_half_precision(tmp_path: Path) -> None:
    hub.transformers()
    saved = randomize_(from_transformers((8,), 5, config=hub.GPT2)).bfloat16()
    saved.save_pretrained(tmp_path, max_shard_size="4KB")  # type: ignore[operator]
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    net = from_transformers((8,), 5, name=str(tmp_path))
    ofa.start.transformers(net, str(tmp_path))
    assert same(net, saved.float())


def test_a_new_head_on_the_body_of_a_language_model(tmp_path: Path) -> None:
    hub.transformers()
    saved = randomize_(from_transformers((8,), 32, config=hub.GPT2, kind="AutoModelForCausalLM"))
    saved.save_pretrained(tmp_path)  # type: ignore[operator]
    net = randomize_(from_transformers((8,), 5, name=str(tmp_path)), 1)
    head = net.score.weight.clone()  # type: ignore[operator,union-attr]
    with pytest.raises(
        InvalidInput, match=r"the file lacks score\.weight, 1 of .*for a new head give ignore=\[score"
    ) as said:
        ofa.start.transformers(net, str(tmp_path))
    assert "was saved from GPT2LMHeadModel, which model.kind=AutoModelForCausalLM makes" in str(said.value)
    assert torch.equal(net.score.weight, head)  # type: ignore[union-attr,arg-type]
    record = ofa.start.transformers(net, str(tmp_path), ignore=["score"])
    assert record.missing == ("score.weight",)
    assert same(net.transformer, saved.transformer)  # type: ignore[arg-type]


def test_another_network_a_missing_shard_and_a_truncated_file(tmp_path: Path) -> None:
    hub.transformers()
    from_transformers((8,), 5, config=hub.GPT2).save_pretrained(tmp_path)  # type: ignore[operator]
    wider = from_transformers((8,), 5, config={**hub.GPT2, "n_embd": 32})
    with pytest.raises(InvalidInput, match=r"\d+ have another shape: .*\(32, 16\) in the file, \(32, 32\) here"):
        ofa.start.transformers(wider, str(tmp_path))
    content = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(InvalidInput, match="cannot be loaded into GPT2ForSequenceClassification"):
        ofa.start.transformers(from_transformers((8,), 5, config=hub.GPT2), str(tmp_path))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InvalidInput, match=r"has no model\.safetensors"):
        ofa.start.transformers(from_transformers((8,), 5, config=hub.GPT2), str(tmp_path))


def test_ones_own_network_takes_a_folder_by_its_names(tmp_path: Path) -> None:
    hub.transformers()
    saved = randomize_(from_transformers((8,), 5, config=hub.GPT2))
    saved.save_pretrained(tmp_path)  # type: ignore[operator]
    own = nn.ModuleDict({"transformer": from_transformers((8,), 5, config=hub.GPT2).transformer})  # type: ignore[dict-item]
    ofa.start.transformers(own, str(tmp_path), ignore=["score"])
    assert same(own["transformer"], saved.transformer)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["no-such-model", "nobody/no-such-model", "./nowhere/at/all"])
def test_without_network_a_name_is_one_line(name: str) -> None:
    hub.transformers()
    net = from_transformers((8,), 5, config=hub.GPT2)
    with pytest.raises(InvalidInput, match="no folder here") as caught:
        ofa.start.transformers(net, name)
    text = str(caught.value)
    assert "\n" not in text and name in text
    assert name.startswith(".") or ("huggingface.co" in text and "cache" in text and "local folder" in text)


def test_offline_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert offline()
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "https://nowhere.invalid")
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert offline()
    with pytest.raises(InvalidInput, match=r"pip install 'ofa-search\[no_such_package\]'"):
        library("no_such_package")


def test_a_file_of_timm_for_other_channels_and_classes(tmp_path: Path) -> None:
    hub.timm()
    saved = randomize_(from_timm((3, 32, 32), 1000, "resnet10t"))
    torch.save({"state_dict": saved.state_dict()}, tmp_path / "w.pth")
    net = from_timm((3, 32, 32), 1000, "resnet10t")
    record = ofa.start.timm(net, "resnet10t", path=str(tmp_path / "w.pth"))
    assert same(net, saved)
    gray = from_timm((1, 32, 32), 5, "resnet10t")
    with pytest.raises(InvalidInput, match=r"fc\.weight \(1000, 512\) in the file, \(5, 512\) here"):
        ofa.start.timm(gray, "resnet10t", path=str(tmp_path / "w.pth"))
    other = ofa.start.timm(gray, "resnet10t", path=str(tmp_path / "w.pth"), ignore=["fc"])
    assert other.digest == record.digest and other.missing == ("fc.weight", "fc.bias")
    stem, full = gray.conv1[0].weight, saved.conv1[0].weight  # type: ignore[index,union-attr]
    assert torch.allclose(stem, full.sum(1, keepdim=True), atol=1e-6)


def test_a_folder_of_timm_and_a_name_that_cannot_be_fetched(tmp_path: Path) -> None:
    hub.timm()
    from safetensors.torch import save_file

    saved = randomize_(from_timm((3, 32, 32), 4, "resnet10t"))
    save_file(saved.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet10t", "num_classes": 4}))
    net = from_timm((3, 32, 32), 4, str(tmp_path))
    ofa.start.timm(net, "resnet10t", path=str(tmp_path))
    assert same(net, saved)
    with pytest.raises(InvalidInput, match=r"resnet10t is neither in the cache .*huggingface\.co/timm/resnet10t"):
        ofa.start.timm(net, "resnet10t")
