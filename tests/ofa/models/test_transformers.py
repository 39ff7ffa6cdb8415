"""GPT and ViT: heads, perceptrons and blocks are elastic, and subnets compute what the whole model says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import ofa
from ofa.models import GPT, ViT
from ofa.randomize import randomize_

SIZES = {"width": 24, "depth": 2, "heads": 3, "head_size": 8, "hidden": 32}


@cache
def both(name: str) -> tuple[nn.Module, ofa.Supernet, Tensor]:
    if name == "gpt":
        model, inputs = GPT((6,), 11, **SIZES), torch.randint(11, (3, 6))
    else:
        model, inputs = ViT((2, 8, 8), 5, **SIZES), torch.randn(3, 2, 8, 8)
    model = randomize_(model).eval()
    return model, ofa.Supernet(model, inputs, ofa.SpaceRules(multiple_of=4)), inputs


@pytest.mark.parametrize("name", ["gpt", "vit"])
def test_heads_perceptrons_and_depth_vary(name: str) -> None:
    _, supernet, _ = both(name)
    keys = {choice.key: choice.values for choice in supernet.space.choices}
    assert keys["depth.blocks"] == (1, 2)
    for number in (0, 1):
        assert set(keys[f"width.blocks.{number}.attention.query"]) <= {8, 16, 24}
        assert keys[f"width.blocks.{number}.expand"][0] < 32
    assert supernet.refused == {}


@pytest.mark.parametrize("name", ["gpt", "vit"])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_views_and_copies_agree(name: str, seed: int) -> None:
    model, supernet, inputs = both(name)
    arch = supernet.space.sample(np.random.default_rng(seed))
    with torch.no_grad():
        assert torch.equal(supernet.subnet(arch)(inputs), supernet.extract(arch)(inputs))
        assert torch.equal(supernet.subnet(supernet.space.largest)(inputs), model(inputs))
    parameters = sum(parameter.numel() for parameter in supernet.extract(arch).parameters())
    assert ofa.cost(supernet, [arch])["params"][0] == parameters


def test_gpt_sees_only_what_precedes() -> None:
    model, _, ids = both("gpt")
    seen = []
    handle = model.blocks[-1].register_forward_hook(lambda module, given, output: seen.append(output))  # type: ignore[operator]
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 11
    with torch.no_grad():
        model(ids), model(changed)
    handle.remove()
    torch.testing.assert_close(seen[0][:, :-1], seen[1][:, :-1])
    assert not torch.allclose(seen[0][:, -1], seen[1][:, -1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GPT((1, 8, 8), 10), r"give \(T,\)"),
        (lambda: GPT((8,), 10, heads=0), "heads=0"),
        (lambda: ViT((1, 8, 8), 10, patch=3), r"patch=3: does not divide .*\[1, 2, 4, 8\]"),
        (lambda: ViT((8, 8), 10), "channels, height, width"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(make: object, message: str) -> None:
    with pytest.raises(ofa.InvalidInput, match=message):
        make()  # type: ignore[operator]
