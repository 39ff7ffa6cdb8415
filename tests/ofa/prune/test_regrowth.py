"""Swaps keep every layer's density, drop the smallest and grow what scores best among what was gone before."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.context import PruneContext
from ofa.prune.regrowth import SET, Regrowth, RigL, regrow
from ofa.prune.times import resolved


def context_of(weights: dict[str, Tensor], masks: dict[str, Tensor], seed: int = 0) -> PruneContext:
    parameters = {name: nn.Parameter(weight) for name, weight in weights.items()}
    return PruneContext(nn.Module(), parameters, masks, torch.Generator().manual_seed(seed))


def one(mask: list[int], drop: list[float], grow: list[float], fraction: float) -> tuple[list[int], list[int]]:
    masks = {"w": torch.tensor(mask, dtype=torch.bool)}
    context = context_of({"w": torch.zeros(len(mask))}, masks)
    after, grown = regrow(
        context, masks, {"w": torch.tensor(drop).float()}, {"w": torch.tensor(grow).float()}, fraction
    )
    return after["w"].int().tolist(), grown["w"].int().tolist()


def test_the_smallest_go_and_the_best_of_the_removed_come() -> None:
    after, grown = one([1, 1, 1, 1, 0, 0, 0, 0], [4, 1, 3, 2, 9, 9, 9, 9], [9, 9, 9, 9, 1, 3, 2, 4], 0.5)
    assert after == [1, 0, 1, 0, 0, 1, 0, 1] and grown == [0, 0, 0, 0, 0, 1, 0, 1]


def test_what_was_just_dropped_does_not_come_back() -> None:
    after, grown = one([1, 1, 1, 1, 0, 0], [4, 1, 3, 2, 0, 0], [0, 99, 0, 99, 0, 0], 0.5)
    assert after == [1, 0, 1, 0, 1, 1] and grown == [0, 0, 0, 0, 1, 1]


def test_a_nearly_full_weight_swaps_what_it_can() -> None:
    after, grown = one([1, 1, 1, 1, 1, 0], [5, 1, 2, 3, 4, 0], [9, 9, 9, 9, 9, 0], 0.6)
    assert after == [1, 0, 1, 1, 1, 1] and grown == [0, 0, 0, 0, 0, 1]
    assert one([1, 1], [1, 2], [1, 2], 1.0) == ([1, 1], [0, 0])
    assert one([0, 0], [1, 2], [1, 2], 1.0) == ([0, 0], [0, 0])


def test_ties_go_by_position() -> None:
    assert one([1, 1, 1, 1, 0, 0, 0, 0], [1] * 8, [1] * 8, 0.5) == ([1, 1, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 0, 0])


@settings(deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1), st.integers(1, 60), st.floats(0, 1))
def test_density_is_exact_in_each_weight(seed: int, fraction: float, size: int, density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = {"a": torch.randn(size, generator=generator), "b": torch.randn(3, size, generator=generator)}
    masks = {name: torch.rand(weight.shape, generator=generator) < density for name, weight in weights.items()}
    before = {name: mask.clone() for name, mask in masks.items()}
    context = context_of(weights, masks)
    drop = {name: weight.abs() for name, weight in weights.items()}
    grow = SET().scores(context)
    after, grown = regrow(context, masks, drop, grow, fraction)
    for name, mask in before.items():
        assert torch.equal(masks[name], mask)  # the ones given are not touched
        live = int(mask.sum())
        count = min(round(fraction * live), mask.numel() - live)
        assert int(after[name].sum()) == live and int(grown[name].sum()) == count
        assert not bool((grown[name] & mask).any()) and bool((after[name] | ~grown[name]).all())
        dropped = mask & ~after[name]
        if count:
            stayed = drop[name][mask & after[name]]
            assert not stayed.numel() or drop[name][dropped].max() <= stayed.min()
            left_out = grow[name][~mask & ~grown[name]]
            assert not left_out.numel() or grow[name][grown[name]].min() >= left_out.max()


def test_only_the_contexts_weights_swap() -> None:
    masks = {"w": torch.tensor([True, False]), "bias": torch.tensor([True, False])}
    context = context_of({"w": torch.zeros(2)}, masks)
    after, grown = regrow(context, masks, {"w": torch.ones(2)}, {"w": torch.ones(2)}, 1.0)
    assert after["w"].tolist() == [False, True] and after["bias"] is masks["bias"] and set(grown) == {"w"}


def test_set_grows_at_random_from_the_contexts_generator() -> None:
    masks = {"w": torch.zeros(1000, dtype=torch.bool)}
    state = torch.get_rng_state()
    first, same, other = (SET().scores(context_of({}, masks, seed), None)["w"] for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)
    assert abs(float(first.mean()) - 0.5) < 0.05 and first.shape == (1000,)
    assert not SET().needs_gradient


def test_rigl_grows_by_the_magnitude_of_the_gradient() -> None:
    masks = {"w": torch.zeros(3, dtype=torch.bool)}
    context = context_of({"w": torch.zeros(3)}, masks)
    scores = RigL().scores(context, {"w": torch.tensor([1.0, -3.0, 2.0]), "other": torch.zeros(1)})
    assert {name: score.tolist() for name, score in scores.items()} == {"w": [1.0, 3.0, 2.0]}
    assert RigL().needs_gradient
    for gradients in (None, {}):
        with pytest.raises(InvalidInput, match="RigL needs dense gradients; w has none"):
            RigL().scores(context, gradients)


def test_swaps_come_each_interval_until_they_end() -> None:
    assert [step for step in range(60) if SET(every=10, until=40).fraction(step) is not None] == [10, 20, 30]
    assert SET(0.4, every=10, until=40).fraction(10) == 0.4
    rigl = RigL(0.3, every=10, until=40)
    fractions = {step: rigl.fraction(step) for step in range(60) if rigl.fraction(step) is not None}
    assert list(fractions) == [10, 20, 30]
    assert fractions == pytest.approx({step: 0.15 * (1 + math.cos(math.pi * step / 40)) for step in fractions})
    assert fractions[20] == pytest.approx(0.15)


@pytest.mark.parametrize("regrowth", [SET(), RigL()], ids=str)
def test_fractions_of_the_training_become_steps(regrowth: Regrowth) -> None:
    fitted = resolved(regrowth, 1000)
    assert fitted.every == 100 and fitted.until == round(regrowth.until * 1000)  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="is not in steps yet"):
        regrowth.fraction(100)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SET(1.5), "fraction_=1.5 is a share"),
        (lambda: RigL(-0.1), "alpha=-0.1"),
        (lambda: RigL(every=0), "every=0"),
        (lambda: RigL(until=1.5), "until=1.5"),
        (lambda: one([1], [1.0], [1.0], 1.5), "fraction=1.5"),
        (lambda: one([1], [1.0], [1.0], float("nan")), "fraction=nan"),
    ],
)
def test_what_cannot_be_is_refused(make, words) -> None:
    with pytest.raises(InvalidInput, match=words):
        make()
