"""Supernets of attention layers of torch, and of a class with a recipe by its user."""

import pickle
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_
from ofa.recipes import ElasticMultiheadAttention
from tests.ofa.nets import zeroed_output

RULES = ofa.SpaceRules(multiple_of=1)
BEHIND_NORMS = ofa.SpaceRules(multiple_of=1, fix=["first"])  # zeroing is another function there
SIZE = 12


class Encoder(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(7, SIZE), nn.Linear(SIZE, 3)
        layer = nn.TransformerEncoderLayer(SIZE, 4, 10, batch_first=True, **options)
        self.layers = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layers(self.first(x)))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(7, SIZE), nn.Linear(SIZE, 3)
        self.memory = nn.Linear(7, SIZE)
        self.layers = nn.TransformerDecoder(nn.TransformerDecoderLayer(SIZE, 4, 10), 1)

    def forward(self, x: Tensor) -> Tensor:
        x = x.transpose(0, 1)
        return self.last(self.layers(self.first(x), self.memory(x))).transpose(0, 1)


class Cross(nn.Module):
    """Queries, keys and values of three widths."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.first, self.keys, self.values = nn.Linear(7, SIZE), nn.Linear(7, 8), nn.Linear(7, 9)
        self.attention = nn.MultiheadAttention(SIZE, 4, kdim=8, vdim=9, batch_first=True, **options)
        self.last = nn.Linear(SIZE, 3)

    def forward(self, x: Tensor) -> Tensor:
        attended, _ = self.attention(self.first(x), self.keys(x), self.values(x), need_weights=False)
        return self.last(attended)


def supernet_of(model: nn.Module, rules: ofa.SpaceRules = RULES, **options: Any) -> tuple[ofa.Supernet, Tensor]:
    torch.manual_seed(0)
    images = torch.randn(2, 4, 7, dtype=torch.float64)
    return ofa.Supernet(randomize_(model.double().eval()), images, rules, **options), images


def classes(model: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in model.modules()}


def check(supernet: ofa.Supernet, images: Tensor) -> None:
    """Compares sampled views with their extracts and with the full model without the removed units."""
    rng = np.random.default_rng(0)
    space = supernet.space
    for arch in [space.largest, space.smallest, *(space.sample(rng) for _ in range(6))]:
        view, extract = supernet.subnet(arch), pickle.loads(pickle.dumps(supernet.extract(arch)))
        for training in (False, True):  # without and with torch's fused kernels, were they allowed
            with torch.set_grad_enabled(training):
                output = view(images)
            torch.testing.assert_close(output, extract(images), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(output, zeroed_output(supernet, arch, images), rtol=1e-10, atol=1e-10)
        assert ofa.cost(supernet, [arch])["params"][0] == sum(weight.numel() for weight in extract.parameters())
    supernet.subnet(space.smallest)(images).sum().backward()
    assert all(weight.grad is not None for weight in supernet.parameters())


@pytest.mark.parametrize(
    ("model", "heads"),
    [
        (Encoder(), {"layers.layers.0.self_attn"}),
        (Encoder(norm_first=True, bias=False), {"layers.layers.0.self_attn"}),
        (Decoder(), {"layers.layers.0.self_attn", "layers.layers.0.multihead_attn"}),
        (Cross(), {"attention.q_proj_weight"}),
        (Cross(add_bias_kv=True, bias=False), {"attention.q_proj_weight"}),
    ],
    ids=["encoder", "encoder, norm first", "decoder", "cross", "cross with biases"],
)
def test_heads_vary_in_torch_s_own_attention(model: nn.Module, heads: set[str]) -> None:
    renormalized = not isinstance(model, Cross)
    supernet, images = supernet_of(model, BEHIND_NORMS if renormalized else RULES)
    units = {group.name: group.units for group in supernet.groups}
    assert {units[name] for name in heads} == {4}
    assert classes(supernet.extract(supernet.space.largest)) == classes(model)
    largest = supernet.space.largest.width
    fewer = ofa.Arch(width={**largest, **{name: largest[name] // 2 for name in heads}})
    assert ElasticMultiheadAttention in classes(supernet.subnet(fewer))
    check(supernet, images)


def test_the_width_varies_apart_from_the_heads_and_the_original_class_serves_where_both_fit() -> None:
    torch.manual_seed(0)
    model = randomize_(Encoder().double().eval())
    images = torch.randn(2, 4, 7, dtype=torch.float64)
    supernet = ofa.Supernet(model, images, ofa.SpaceRules(multiple_of=1, width_ratios=(0.5, 0.75, 1.0)))
    widths = {choice.name: choice.values for choice in supernet.space.choices if choice.kind == "width"}
    assert widths["first"] == (6, 9, 12)
    assert len(widths["layers.layers.0.self_attn"]) == 3
    for width in widths["first"]:
        for rows in widths["layers.layers.0.self_attn"]:
            arch = ofa.Arch(width={**supernet.space.largest.width, "first": width, "layers.layers.0.self_attn": rows})
            extract = supernet.extract(arch)
            assert (ElasticMultiheadAttention in classes(extract)) == (rows != 3 * width)
            with torch.no_grad():  # here torch's fused kernel runs where the class is the original
                fused = extract(images)
            torch.testing.assert_close(fused, extract(images).detach(), rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(fused, supernet.subnet(arch)(images).detach(), rtol=1e-10, atol=1e-10)


class Attention(nn.Module):
    """Heads whose size is computed from a number that a subnet must not lower."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.proj = nn.Linear(SIZE, 3 * SIZE), nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 3, 4)).permute(2, 0, 3, 1, 4)
        return x + self.proj((q @ k.transpose(-1, -2) @ v).transpose(1, 2).flatten(2))


class ElasticAttention(Attention):
    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, -1, 4)).permute(2, 0, 3, 1, 4)
        return x + self.proj((q @ k.transpose(-1, -2) @ v).transpose(1, 2).flatten(2))


def own() -> nn.Module:
    return nn.Sequential(nn.Linear(7, SIZE), Attention(), nn.Linear(SIZE, 3))


def test_a_user_gives_a_recipe_for_his_own_class() -> None:
    without, _ = supernet_of(own())
    assert "1.qkv" not in {group.name for group in without.groups}
    supernet, images = supernet_of(own(), recipes={Attention: ElasticAttention})
    assert {group.name: group.units for group in supernet.groups}["1.qkv"] == 3
    assert type(supernet.model[1]) is Attention  # type: ignore[index]
    assert type(supernet.extract(supernet.space.smallest)[1]) is ElasticAttention  # type: ignore[index]
    check(supernet, images)


def test_a_saved_supernet_is_loaded_with_its_recipes(tmp_path: Any) -> None:
    supernet, images = supernet_of(own(), recipes={Attention: ElasticAttention})
    ofa.save(supernet, tmp_path)
    loaded = ofa.load(tmp_path, own().double().eval(), recipes={Attention: ElasticAttention})
    arch = supernet.space.smallest
    torch.testing.assert_close(loaded.subnet(arch)(images), supernet.subnet(arch)(images), rtol=0, atol=0)


@pytest.mark.parametrize("recipes", [{Attention: "ElasticAttention"}, {int: ElasticAttention}])
def test_recipes_are_classes_of_modules(recipes: Any) -> None:
    with pytest.raises(ofa.InvalidInput, match=re.escape("such as {MyAttention: ElasticAttention}")):
        supernet_of(own(), recipes=recipes)


class OneHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(7, SIZE), nn.Linear(SIZE, 3)
        self.attention = nn.MultiheadAttention(SIZE, 1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        return self.last(self.attention(hidden, hidden, hidden, need_weights=False)[0])


@pytest.mark.parametrize("size", [1, 5, SIZE - 1])
def test_the_only_head_gets_smaller_and_stays_one(size: int) -> None:
    images = torch.randn(2, 5, 7, dtype=torch.float64)
    supernet = ofa.Supernet(OneHead().double().eval(), images, ofa.SpaceRules(width_ratios=None, multiple_of=1))
    widths = {"width.first": size, "width.attention": 3 * size, "width.attention.out_proj": size}
    arch = supernet.space.arch(widths)
    net = supernet.extract(arch)
    made = nn.MultiheadAttention(size, 1, batch_first=True).double()
    made.load_state_dict(net.attention.state_dict())
    with torch.no_grad():
        hidden = net.first(images)
        expected = net.last(made(hidden, hidden, hidden, need_weights=False)[0])
        assert type(net.attention) is nn.MultiheadAttention and net.attention.num_heads == 1
        torch.testing.assert_close(net(images), expected)
        torch.testing.assert_close(supernet.subnet(arch)(images), expected)
