"""Networks of timm and transformers, built from a configuration and made elastic."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import ofa
from ofa.errors import InvalidInput
from ofa.inputs import logits_of
from ofa.models import from_timm, from_transformers
from ofa.models.hub import timm_architecture, transformers_config
from tests.ofa import hub_packages as hub

CASES: dict[str, tuple[Mapping[str, Any], tuple[int, ...]]] = {"gpt2": (hub.GPT2, (8,)), "vit": (hub.VIT, (1, 8, 8))}


def example(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randint(1, 32, (2, *shape)) if len(shape) == 1 else torch.randn(2, *shape)


@pytest.mark.parametrize("name", CASES)
def test_a_network_of_transformers_is_a_supernet(name: str) -> None:
    hub.transformers()
    config, shape = CASES[name]
    net = from_transformers(shape, 5, config=config)
    inputs = example(shape)
    supernet = ofa.Supernet(net, inputs)
    assert {"width", "depth"} <= {choice.kind for choice in supernet.space.choices}
    with torch.no_grad():
        logits = logits_of(net.eval()(inputs))
        assert logits.shape == (2, 5) and not net.config.to_dict().get("use_cache")
        assert torch.allclose(logits_of(supernet.subnet(supernet.space.largest).eval()(inputs)), logits, atol=1e-5)
        assert logits_of(supernet.extract(supernet.space.smallest).eval()(inputs)).shape == (2, 5)


def test_a_language_model_takes_its_vocabulary_from_the_data() -> None:
    hub.transformers()
    config = {name: value for name, value in hub.GPT2.items() if name != "vocab_size"}
    net = from_transformers((8,), 11, config=config, kind="AutoModelForCausalLM")
    assert logits_of(net(torch.randint(11, (2, 8)))).shape == (2, 8, 11)


def test_a_folder_and_its_configuration_make_the_same_network(tmp_path: Path) -> None:
    hub.transformers()
    saved = from_transformers((8,), 7, config=hub.GPT2)
    saved.save_pretrained(tmp_path)  # type: ignore[operator]
    config = transformers_config(str(tmp_path))
    shapes = [
        {name: tensor.shape for name, tensor in net.state_dict().items()}
        for net in (from_transformers((8,), 5, name=str(tmp_path)), from_transformers((8,), 5, config=config))
    ]
    assert shapes[0] == shapes[1] and shapes[0]["score.weight"] == (5, 16)


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "needs model.name=FOLDER or model.config"),
    "no type": ({"config": {"n_embd": 8}}, "no model_type"),
    "unknown type": ({"config": {"model_type": "gpt22"}}, "makes no AutoModelForSequenceClassification"),
    "unknown kind": ({"config": hub.GPT2, "kind": "AutoModelForCausalLN"}, "did you mean AutoModelForCausalLM"),
    "no such folder": ({"name": "./none"}, r"no folder here.*give a local folder with config\.json"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_makes_no_network_of_transformers(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.transformers()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments, message = BAD[case]
    with pytest.raises(InvalidInput, match=message) as caught:
        from_transformers((8,), 5, **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "[1]", "{"])
def test_a_damaged_configuration_is_named(content: str, tmp_path: Path) -> None:
    hub.transformers()
    with pytest.raises(InvalidInput, match=r"has no config\.json"):
        transformers_config(str(tmp_path))
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"config\.json is damaged"):
        transformers_config(str(tmp_path))


def test_a_network_of_timm() -> None:
    hub.timm()
    net = from_timm((1, 32, 32), 5, "resnet10t")
    assert net.eval()(torch.randn(2, 1, 32, 32)).shape == (2, 5)
    vit = from_timm((3, 16, 16), 5, "vit_tiny_patch16_224", {"img_size": 16, "patch_size": 4, "depth": 1})
    assert vit(torch.randn(2, 3, 16, 16)).shape == (2, 5)
    with pytest.raises(InvalidInput, match=r"no network 'resnet1O'; did you mean resnet1"):
        from_timm((3, 32, 32), 5, "resnet1O")
    with pytest.raises(InvalidInput, match=r"timm makes no resnet10t with \{'colour': 3\}"):
        from_timm((3, 32, 32), 5, "resnet10t", {"colour": 3})
    with pytest.raises(InvalidInput, match=r"take images \(C, H, W\)"):
        from_timm((16,), 5, "resnet10t")


def test_a_folder_of_timm(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no config\.json"):
        timm_architecture(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"num_classes": 3}))
    with pytest.raises(InvalidInput, match="names no architecture"):
        timm_architecture(str(tmp_path))
    (tmp_path / "config.json").write_text(
        json.dumps({"architecture": "resnet10t", "model_args": {"act_layer": "silu"}})
    )
    assert timm_architecture(str(tmp_path)) == ("resnet10t", {"act_layer": "silu"})


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    with pytest.raises(InvalidInput, match=r"needs the package timm .*pip install 'ofa-search\[timm\]'"):
        from_timm((3, 32, 32), 5, "resnet18")
