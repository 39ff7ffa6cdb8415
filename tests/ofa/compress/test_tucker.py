from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from ofa.compress import tucker2
from ofa.compress.tucker import unfold_mode


def random_weight(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SIZES = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=50, deadline=None)
@given(SIZES, st.data())
def test_factors_are_orthonormal_and_the_core_is_the_projection(shape: tuple[int, ...], data: st.DataObject) -> None:
    weight = random_weight(data.draw(st.integers(0, 99)), *shape)
    rank_out, rank_in = (data.draw(st.integers(1, size)) for size in shape[:2])
    factors = tucker2(weight, rank_out, rank_in)
    for matrix, rank in ((factors.outputs, rank_out), (factors.inputs, rank_in)):
        torch.testing.assert_close(matrix.T @ matrix, torch.eye(rank, dtype=torch.float64), rtol=0, atol=1e-10)
    # Pythagoras: what is kept and what is lost are at right angles.
    lost = (weight - factors.weight()).square().sum()
    torch.testing.assert_close(lost + factors.core.square().sum(), weight.square().sum(), rtol=1e-9, atol=1e-12)
    # Never worse than what both truncations together can lose (De Lathauwer et al. 2000, property 10).
    tails = [
        torch.linalg.svdvals(unfold_mode(weight, dim))[rank:].square().sum()
        for dim, rank in ((0, rank_out), (1, rank_in))
    ]
    assert lost <= sum(tails) + 1e-9
    assert lost >= max(tails) - 1e-9


@settings(max_examples=30, deadline=None)
@given(SIZES, st.data())
def test_iterations_never_lose_more(shape: tuple[int, ...], data: st.DataObject) -> None:
    weight = random_weight(data.draw(st.integers(0, 99)), *shape)
    ranks = [data.draw(st.integers(1, size)) for size in shape[:2]]
    errors = [float((weight - tucker2(weight, *ranks, iterations=n).weight()).norm()) for n in (0, 1, 3, 10)]
    assert all(later <= earlier + 1e-9 for earlier, later in pairwise(errors))


def test_iterations_find_a_better_pair_than_the_two_truncations() -> None:
    weight = random_weight(3, 8, 8, 3, 3)
    start, end = (float((weight - tucker2(weight, 2, 2, iterations=n).weight()).norm()) for n in (0, 10))
    assert end < start - 1e-3


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 99))
def test_a_planted_core_is_found_exactly(rank_out: int, rank_in: int, seed: int) -> None:
    core = random_weight(seed, rank_out, rank_in, 3, 3)
    outputs, inputs = random_weight(seed + 1, 6, rank_out), random_weight(seed + 2, 5, rank_in)
    weight = torch.einsum("or,rsxy,cs->ocxy", outputs, core, inputs)
    torch.testing.assert_close(tucker2(weight, rank_out, rank_in).weight(), weight, rtol=1e-9, atol=1e-9)
