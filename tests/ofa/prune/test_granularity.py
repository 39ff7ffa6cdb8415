"""What every granularity keeps to, and what is particular to channels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import ofa
from ofa.errors import InvalidInput
from ofa.models import LeNet5, ResNet
from ofa.prune import OneShot, Pruner
from ofa.prune.allocation import budget
from ofa.prune.criteria import magnitude, normalized, random_
from ofa.prune.granularity import Granularity, block, channel, n_of_m, weight
from ofa.prune.granularity._channel import every_width
from ofa.prune.weights import full_masks, prunable_weights
from tests.ofa import zoo

KINDS: dict[str, Callable[..., Granularity]] = {
    "weight": weight,
    "n_of_m": n_of_m,
    "block": partial(block, rows=3, columns=5),
    "channel": partial(channel, multiple_of=1),
}
SHAPE = (1, 8, 8)


def made(kind: str) -> tuple[nn.Module, dict[str, nn.Parameter], Granularity]:
    torch.manual_seed(0)
    model = LeNet5(SHAPE, 4, channels=(4, 8), hidden=(12, 8), batch_norm=True)
    weights = prunable_weights(model)
    return model, weights, KINDS[kind](model, weights, torch.zeros(2, *SHAPE))


@pytest.mark.parametrize("kind", KINDS)
def test_masks_of_kept_pieces_gather_back_to_them(kind: str) -> None:
    model, weights, granularity = made(kind)
    generator = torch.Generator().manual_seed(1)
    keep = []
    for pool in granularity.pools:
        kept = torch.rand(pool.pieces, generator=generator) > 0.5
        kept[0] = True
        keep.append(kept)
    masks = granularity.spread(keep)
    parameters = dict(model.named_parameters())
    assert all(mask.dtype == torch.bool and mask.shape == parameters[name].shape for name, mask in masks.items())
    scores = {name: torch.rand(tensor.shape, generator=generator) for name, tensor in weights.items()}
    gathered = granularity.gather(scores, full_masks(weights) | masks)
    for kept, found in zip(keep, gathered, strict=True):
        assert found.is_floating_point() and found.shape == kept.shape
        assert torch.equal(torch.isfinite(found), kept)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_kept_costs_what_the_model_does(kind: str) -> None:
    model, _, granularity = made(kind)
    full = [pool.pieces for pool in granularity.pools]
    supernet = ofa.Supernet(model, torch.zeros(2, *SHAPE), ofa.SpaceRules(multiple_of=1))
    whole = ofa.cost(supernet, [supernet.space.largest])
    cost = granularity.cost(full)
    assert cost["params"] == sum(p.numel() for p in model.parameters()) == whole["params"][0]
    assert cost["macs"] == whole["macs"][0]
    fewer = granularity.cost([max(1, count // 2) for count in full])
    assert fewer["params"] < cost["params"] and fewer["macs"] < cost["macs"]


@pytest.mark.parametrize("kind", ["weight", "block", "channel"])
def test_scores_of_rows_serve_as_well(kind: str) -> None:
    _, weights, granularity = made(kind)
    scores = {name: torch.arange(tensor.shape[0], dtype=torch.float32) for name, tensor in weights.items()}
    for pool in granularity.gather(scores, full_masks(weights)):
        assert bool((pool.diff() >= 0).all()) or kind == "block"
        assert float(pool[0]) < float(pool[-1])


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 9),
    columns=st.integers(1, 9),
    shape=st.tuples(*[st.integers(2, 9)] * 3),
    seed=st.integers(0, 99),
)
def test_blocks_of_any_size_cover_every_weight_once(rows: int, columns: int, shape: Any, seed: int) -> None:
    model = nn.Conv1d(shape[1], shape[0], shape[2])
    weights = prunable_weights(model)
    granularity = block(model, weights, rows=rows, columns=columns)
    (pool,) = granularity.pools
    total = torch.zeros(shape[0], shape[1], shape[2])
    for piece in range(pool.pieces):
        keep = torch.zeros(pool.pieces, dtype=torch.bool)
        keep[piece] = True
        total += granularity.spread([keep])["weight"]
    assert bool((total == 1).all())


def test_a_masked_channel_is_gone_from_every_layer_it_reaches() -> None:
    model = ResNet((3, 8, 8), 4, depth=8)
    pruner = Pruner(
        model,
        schedule=OneShot(0.5),
        granularity=partial(channel, multiple_of=4),
        criterion=random_,
        example_input=torch.zeros(2, 3, 8, 8),
    )
    assert {"stem.norm.weight", "stem.norm.bias"} & set(pruner.masks)
    alive = pruner.granularity.alive(pruner.masks)  # type: ignore[attr-defined]
    for pool, kept in zip(pruner.granularity.pools, alive, strict=True):
        assert int(kept.sum()) % pool.step == 0 and int(kept.sum()) >= pool.step


@pytest.mark.parametrize("metric", ["macs", "params", "bytes"])
def test_a_budget_of_channels_is_met_by_the_slim_network(metric: str) -> None:
    torch.manual_seed(0)
    model = ResNet((3, 16, 16), 10, depth=8)
    example = torch.zeros(2, 3, 16, 16)
    pruner = Pruner(
        model,
        schedule=OneShot(0.6),
        granularity=partial(channel, multiple_of=4),
        allocation=partial(budget, metric=metric),
        criterion=normalized(magnitude),
        example_input=example,
    )
    slim, _ = pruner.slim()
    before, after = (
        ofa.cost(s, [s.space.largest])[metric][0] for s in (every_width(model, example), every_width(slim, example))
    )
    assert after <= 0.4 * before
    assert after > 0.3 * before  # and not much less than asked for


def test_a_latency_budget_asks_the_given_model() -> None:
    torch.manual_seed(0)
    model = ResNet((3, 8, 8), 4, depth=8)

    def latency(supernet: ofa.Supernet, archs: Any) -> Any:
        return 1.0 + ofa.cost(supernet, archs)["macs"] / 1e6

    example = torch.zeros(2, 3, 8, 8)
    pruner = Pruner(
        model,
        schedule=OneShot(0.5),
        granularity=partial(channel, multiple_of=4, latency=latency),
        allocation=partial(budget, metric="latency_ms", limit=1.4),
        criterion=normalized(magnitude),
        example_input=example,
    )
    slim, _ = pruner.slim()
    made_of = every_width(slim, example, 1)
    assert float(latency(made_of, [made_of.space.largest])[0]) <= 1.4


def test_channels_that_cannot_go_are_left_out_with_the_reason() -> None:
    model = zoo.PLAIN["residual"]() if "residual" in zoo.PLAIN else ResNet((3, 16, 16), 5, depth=8)
    with pytest.raises(InvalidInput, match=r"can go|can vary"):
        Pruner(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), granularity=channel, example_input=torch.zeros(2, 12))
    names = {
        pool.name
        for pool in Pruner(
            model, granularity=partial(channel, multiple_of=1), example_input=zoo.example()
        ).granularity.pools
    }
    first = sorted(names)[0]
    fewer = Pruner(
        model, granularity=partial(channel, multiple_of=1), example_input=zoo.example(), keep=[first]
    ).granularity.pools
    assert first not in {pool.name for pool in fewer} and len(fewer) < len(names)


def test_settings_that_make_no_sense_are_said() -> None:
    model = LeNet5(SHAPE, 4)
    weights = prunable_weights(model)
    with pytest.raises(InvalidInput, match="n=4"):
        n_of_m(model, weights, n=4, m=4)
    with pytest.raises(InvalidInput, match="multiple of 7"):
        n_of_m(nn.Linear(8, 4), prunable_weights(nn.Linear(8, 4)), n=1, m=7)
    with pytest.raises(InvalidInput, match="rows=0"):
        block(model, weights, rows=0)
    with pytest.raises(InvalidInput, match="multiple_of=0"):
        channel(model, weights, torch.zeros(2, *SHAPE), multiple_of=0)
