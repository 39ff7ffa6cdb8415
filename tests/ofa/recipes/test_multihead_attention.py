"""The recipe of multi-head attention computes what torch's own class does, and narrower what zeroed heads do."""

import itertools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa.randomize import randomize_
from ofa.recipes import DEFAULT_RECIPES, ElasticMultiheadAttention, apply_recipes

WIDTH, HEADS, BATCH, QUERIES, KEYS = 12, 3, 2, 4, 5
KINDS: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"batch_first": True},
    {"kdim": 6, "vdim": 7},
    {"kdim": 6, "vdim": 7, "bias": False, "batch_first": True},
    {"add_bias_kv": True},
    {"add_zero_attn": True},
]
MASKS = ["none", "float", "bool", "per head", "causal"]


def pair(**options: Any) -> tuple[nn.MultiheadAttention, nn.Module]:
    """Torch's layer with random weights, and a copy of it that is the recipe's."""
    torch.manual_seed(0)
    original = randomize_(nn.MultiheadAttention(WIDTH, HEADS, **options).double().eval())
    assert isinstance(original, nn.MultiheadAttention)
    copied = pickle.loads(pickle.dumps(original))
    return original, apply_recipes(copied, DEFAULT_RECIPES)


def inputs(options: dict[str, Any], batched: bool = True) -> list[Tensor]:
    shapes = [(QUERIES, WIDTH), (KEYS, options.get("kdim", WIDTH)), (KEYS, options.get("vdim", WIDTH))]
    batch = [torch.randn(BATCH, *shape, dtype=torch.float64) for shape in shapes]
    if not batched:
        return [value[0] for value in batch]
    return batch if options.get("batch_first") else [value.transpose(0, 1) for value in batch]


def mask_of(kind: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(1)
    ones = torch.ones(QUERIES, KEYS)
    return {
        "none": {},
        "float": {"attn_mask": torch.randn(QUERIES, KEYS, dtype=torch.float64, generator=generator)},
        "bool": {"attn_mask": ones.triu(2).bool()},
        "per head": {"attn_mask": torch.randn(BATCH * HEADS, QUERIES, KEYS, dtype=torch.float64, generator=generator)},
        "causal": {"attn_mask": ones.triu(1).bool(), "is_causal": True},
    }[kind]


@pytest.mark.parametrize("options", KINDS, ids=str)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")
def test_it_computes_what_the_original_does(options: dict[str, Any], mask: str) -> None:
    original, recipe = pair(**options)
    assert type(recipe) is ElasticMultiheadAttention
    values = inputs(options)
    padding = torch.zeros(BATCH, KEYS, dtype=torch.bool)
    padding[1, 3:] = True
    for padded, need_weights, average in itertools.product((False, True), (False, True), (False, True)):
        arguments = mask_of(mask) | {"need_weights": need_weights, "average_attn_weights": average}
        if padded:
            arguments["key_padding_mask"] = padding
        expected, expected_weights = original(*values, **arguments)
        output, weights = recipe(*values, **arguments)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        assert (weights is None) == (expected_weights is None)
        if weights is not None:
            torch.testing.assert_close(weights, expected_weights, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_one_example_without_a_batch_dimension(options: dict[str, Any]) -> None:
    original, recipe = pair(**options)
    values = inputs(options, batched=False)
    torch.testing.assert_close(recipe(*values), original(*values), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("options", [kind for kind in KINDS if not kind.get("add_zero_attn")], ids=str)
def test_dropout_is_as_in_training(options: dict[str, Any]) -> None:
    original, recipe = pair(dropout=0.5, **options)
    values = inputs(options)
    outputs = []
    for layer in (original.train(), recipe.train()):
        torch.manual_seed(3)
        outputs.append(layer(*values)[0])
    torch.testing.assert_close(*outputs, rtol=1e-12, atol=1e-12)


def test_the_causal_hint_needs_its_mask() -> None:
    _, recipe = pair()
    with pytest.raises(RuntimeError, match="give the mask"):
        recipe(*inputs({}), is_causal=True)


@pytest.mark.parametrize("need_weights", [False, True])
def test_fewer_heads_are_the_full_layer_without_the_others(need_weights: bool) -> None:
    original, recipe = pair(batch_first=True)
    values = inputs({"batch_first": True})
    size = original.head_dim
    assert isinstance(recipe, ElasticMultiheadAttention)
    weight, bias = original.in_proj_weight.detach(), original.in_proj_bias.detach()
    rows = torch.cat([torch.arange(part * WIDTH, part * WIDTH + 2 * size) for part in range(3)])
    recipe.in_proj_weight = nn.Parameter(weight[rows])
    recipe.in_proj_bias = nn.Parameter(bias[rows])
    recipe.out_proj.weight = nn.Parameter(original.out_proj.weight.detach()[:, : 2 * size])
    with torch.no_grad():
        original.out_proj.weight[:, 2 * size :] = 0
    expected = original(*values)[0]
    torch.testing.assert_close(recipe(*values, need_weights=need_weights)[0], expected, rtol=1e-12, atol=1e-12)


def test_the_original_class_serves_where_heads_and_width_fit() -> None:
    original, _ = pair()
    shapes = {"in_proj_weight": (24, 8), "in_proj_bias": (24,), "out_proj.weight": (8, 8), "out_proj.bias": (8,)}
    assert ElasticMultiheadAttention.original_sizes(original, shapes) == {
        "embed_dim": 8,
        "num_heads": 2,
        "kdim": 8,
        "vdim": 8,
    }
    for changed in ({"in_proj_weight": (24, 12)}, {"out_proj.weight": (12, 8)}, {"in_proj_weight": (12, 8)}):
        assert ElasticMultiheadAttention.original_sizes(original, shapes | changed) is None
