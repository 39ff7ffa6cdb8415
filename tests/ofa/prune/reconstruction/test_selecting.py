"""Optimal brain surgery and Wanda on single layers, against brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ofa.prune.reconstruction import Method, Problem, obs, wanda
from ofa.prune.reconstruction.least_squares import refitted
from ofa.prune.reconstruction.moments import Moments, moments_of


def inputs_of(groups: int, columns: int, seed: int) -> Tensor:
    """Inputs (groups, positions, columns) whose columns are correlated."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(groups, columns, columns, generator=generator, dtype=torch.float64)
    return torch.randn(groups, 40, columns, generator=generator, dtype=torch.float64) @ mixing


def weights_of(groups: int, rows: int, columns: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed + 100)
    return torch.randn(groups, rows, columns, generator=generator, dtype=torch.float64)


def least_loss(weights: Tensor, inputs: Tensor, mask: Tensor) -> float:
    """The squared error of the outputs when the kept weights of each row are solved for, by another method."""
    total = 0.0
    for group, row in itertools.product(range(weights.shape[0]), range(weights.shape[1])):
        wanted = inputs[group] @ weights[group, row]
        kept = inputs[group][:, mask[group, row]]
        found = torch.linalg.lstsq(kept, wanted[:, None], driver="gelsd").solution
        total += float((kept @ found - wanted[:, None]).square().sum())
    return total


def loss(before: Tensor, after: Tensor, inputs: Tensor) -> float:
    return float((inputs @ (after - before).transpose(1, 2)).square().sum())


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_the_one_weight_that_goes_is_the_one_that_brute_force_finds(groups: int, seed: int) -> None:
    """Each is tried, the weights after it solved for by another method; then all of its row are."""
    inputs, weights = inputs_of(groups, 5, seed), weights_of(groups, 3, 5, seed)
    problem = Problem(weights, moments_of(inputs), weights.numel() - 1)
    after, mask = obs(problem, damping=1e-10, refit=False)
    losses = []
    for group, row, gone in itertools.product(range(groups), range(3), range(5)):
        lost = inputs[group][:, gone] * weights[group, row, gone]
        later = inputs[group][:, gone + 1 :]
        made_up = later @ torch.linalg.lstsq(later, lost[:, None], driver="gelsd").solution if gone < 4 else 0.0
        losses.append(float((lost[:, None] - made_up).square().sum()))
    assert int((~mask).flatten().nonzero()) == min(range(len(losses)), key=losses.__getitem__)
    assert loss(weights, after, inputs) == pytest.approx(min(losses), rel=1e-6)
    refit, same = obs(problem, damping=1e-10)
    assert torch.equal(same, mask)
    assert loss(weights, refit, inputs) == pytest.approx(least_loss(weights, inputs, mask), rel=1e-6)


@pytest.mark.parametrize("refit", [True, False])
def test_surgery_costs_less_than_removing_the_same_number_by_size(refit: bool) -> None:
    inputs, weights = inputs_of(1, 12, 0), weights_of(1, 8, 12, 0)
    after, mask = obs(Problem(weights, moments_of(inputs), 48), refit=refit)
    by_size = weights * (weights.abs() > weights.abs().flatten().kthvalue(48).values)
    assert int(mask.sum()) == 48 == int((by_size != 0).sum())
    assert loss(weights, after, inputs) < 0.5 * loss(weights, by_size, inputs)
    exact = least_loss(weights, inputs, mask)
    assert loss(weights, after, inputs) >= exact * (1 - 1e-9)
    if refit:
        assert loss(weights, after, inputs) < 1.2 * exact  # damping is all that is between


@pytest.mark.parametrize("method", [obs, wanda])
@settings(max_examples=25, deadline=None)
@given(
    groups=st.integers(1, 3),
    rows=st.integers(1, 4),
    columns=st.sampled_from([1, 4, 8, 132]),
    density=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_exactly_as_many_stay_as_are_asked_for(
    method: Method, groups: int, rows: int, columns: int, density: float, seed: int
) -> None:
    weights = weights_of(groups, rows, columns, seed)
    keep = round(density * weights.numel())
    after, mask = method(Problem(weights, moments_of(inputs_of(groups, columns, seed)), keep))
    assert int(mask.sum()) == keep and after.shape == mask.shape == weights.shape
    assert not bool(after[~mask].any()) and bool(torch.isfinite(after).all())


@pytest.mark.parametrize("method", [obs, wanda])
@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 3)])
def test_a_pattern_holds_in_every_row(method: Method, n: int, m: int) -> None:
    weights = weights_of(2, 3, 12, 1)
    after, mask = method(Problem(weights, moments_of(inputs_of(2, 12, 1)), 0, (n, m)))
    assert bool((mask.reshape(2, 3, -1, m).sum(dim=-1) == n).all())
    assert not bool(after[~mask].any())


def test_wanda_keeps_in_each_row_what_is_large_times_its_input() -> None:
    inputs = torch.tensor([[[1.0, 10.0, 0.1], [1.0, 10.0, 0.1]]], dtype=torch.float64)
    weights = torch.tensor([[[1.0, 0.2, 5.0], [9.0, 0.1, 30.0]]], dtype=torch.float64)
    after, mask = wanda(Problem(weights, moments_of(inputs), 3))
    assert mask.tolist() == [[[True, True, False], [True, False, False]]]
    assert after.tolist() == [[[1.0, 0.2, 0.0], [9.0, 0.0, 0.0]]]


def test_wanda_removes_first_what_reads_inputs_that_never_change() -> None:
    """Moments about the mean of a constant are 0 but for rounding, which may leave them below 0."""
    inputs = inputs_of(1, 6, 0)
    inputs[:, :, 1::2] = torch.tensor([0.1, -0.4242129623889923, 1 / 3], dtype=torch.float64)
    moments = moments_of(inputs).centered()
    moments.gram[0, 1, 1] = -1e-12
    _, mask = wanda(Problem(weights_of(1, 4, 6, 0), moments, 12))
    assert bool(mask[..., 0::2].all()) and not bool(mask[..., 1::2].any())


@settings(max_examples=25, deadline=None)
@given(shared=st.booleans(), seed=st.integers(0, 99))
def test_a_refit_is_the_least_squares_of_another_solver(shared: bool, seed: int) -> None:
    """Rows of one mask are solved for together, others each for itself: both towards the reference's outputs."""
    inputs, reference = inputs_of(2, 6, seed), inputs_of(2, 6, seed + 1)
    weights = weights_of(2, 4, 6, seed)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(2, 1 if shared else 4, 6, generator=generator).gt(0.4).expand(2, 4, 6)
    found = refitted(weights, mask, moments_of(inputs, reference), damping=1e-12)
    for group, row in itertools.product(range(2), range(4)):
        kept = mask[group, row]
        wanted = reference[group] @ weights[group, row]
        solution = torch.linalg.lstsq(inputs[group][:, kept], wanted[:, None], driver="gelsd").solution[:, 0]
        torch.testing.assert_close(found[group, row][kept], solution, rtol=1e-5, atol=1e-7)
        assert not bool(found[group, row][~kept].any())


def test_moments_add_up_over_batches_and_center() -> None:
    inputs, reference = inputs_of(2, 5, 0) + 3, inputs_of(2, 5, 1)
    whole = moments_of(inputs, reference)
    parts = moments_of(inputs[:, :13], reference[:, :13]) + moments_of(inputs[:, 13:], reference[:, 13:])
    for name in Moments.__dataclass_fields__:
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    centered = whole.centered()
    x, z = inputs - inputs.mean(dim=1, keepdim=True), reference - reference.mean(dim=1, keepdim=True)
    torch.testing.assert_close(centered.gram, x.transpose(1, 2) @ x)
    torch.testing.assert_close(centered.cross, x.transpose(1, 2) @ z)
