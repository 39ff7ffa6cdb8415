"""Criteria that look at weights alone: magnitude, std_threshold, random_, probabilistic, fpgm, normalized."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ofa import InvalidInput
from ofa.prune import criteria
from ofa.prune.context import PruneContext
from tests.ofa.prune.contexts import context_of


def matrix_context(*matrices: Tensor, masks: dict[str, Tensor] | None = None, seed: int = 0) -> PruneContext:
    """A stack of linear layers with these weights; "0.weight" is the first."""
    model = nn.Sequential(*(nn.Linear(matrix.shape[1], matrix.shape[0], bias=False) for matrix in matrices)).double()
    with torch.no_grad():
        for layer, matrix in zip(model, matrices, strict=True):
            layer.weight.copy_(matrix)
    return context_of(model, masks=masks, seed=seed)


def test_magnitude_is_the_absolute_value_to_a_power() -> None:
    context = matrix_context(torch.tensor([[-3.0, 0.5], [0.0, 2.0]]))
    assert criteria.magnitude(context)["0.weight"].tolist() == [[3, 0.5], [0, 2]]
    assert criteria.magnitude(context, p=2)["0.weight"].tolist() == [[9, 0.25], [0, 4]]
    with pytest.raises(InvalidInput, match="p=0"):
        criteria.magnitude(context, p=0)


def test_std_threshold_counts_in_units_of_the_layers_own_threshold() -> None:
    first, second = torch.tensor([[1.0, -1.0, 3.0, -3.0]]), torch.tensor([[4.0], [-4.0], [9.0]])
    masks = {"1.weight": torch.tensor([[True], [True], [False]])}
    context = matrix_context(first, second, masks=masks)
    # Population std: sqrt((1 + 1 + 9 + 9) / 4) = sqrt(5), and 4 over the two weights that are alive.
    scores = criteria.std_threshold(context, quality={"*": 0.5, "1": 2.0})
    torch.testing.assert_close(scores["0.weight"], first.abs().double() / (0.5 * 5**0.5))
    assert scores["1.weight"].reshape(-1).tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert criteria.std_threshold(context)["1.weight"][0].item() == pytest.approx(1.0)


def test_std_threshold_survives_layers_without_spread_and_refuses_wrong_qualities() -> None:
    masks = {"1.weight": torch.zeros(3, 1, dtype=torch.bool)}
    context = matrix_context(torch.ones(1, 4), torch.ones(3, 1), masks=masks)
    scores = criteria.std_threshold(context)
    assert bool(torch.isfinite(scores["0.weight"]).all()) and bool((scores["0.weight"] >= 1).all())
    assert scores["1.weight"].tolist() == [[0], [0], [0]]
    with pytest.raises(InvalidInput, match="must be a number above 0"):
        criteria.std_threshold(context, quality=0)
    with pytest.raises(InvalidInput, match=r"did you mean 0\.weight"):
        criteria.std_threshold(context, quality={"0.weigth": 1.0})


def test_random_scores_hold_no_ties_in_a_large_layer() -> None:
    scores = criteria.random_(matrix_context(torch.zeros(1000, 1000)))["0.weight"]
    assert len(scores.unique()) == 1_000_000
    assert 0 <= float(scores.min()) and float(scores.max()) < 1 and float(scores.mean()) == pytest.approx(0.5, abs=2e-3)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_probabilistic_draws_without_replacement_by_magnitude(temperature: float) -> None:
    weights, trials, count = [4.0, -2.0, 1.0, 0.5], 40_000, 2
    scores = criteria.probabilistic(matrix_context(torch.tensor([weights] * trials)), temperature)["0.weight"]
    chosen = scores.topk(count, dim=1).indices
    rates = [abs(weight) ** (1 / temperature) for weight in weights]
    for order in permutations(range(len(weights)), count):
        left, expected = sum(rates), 1.0
        for item in order:  # one draw after the other, among what is left
            expected *= rates[item] / left
            left -= rates[item]
        seen = float((chosen == torch.tensor(order)).all(dim=1).double().mean())
        assert seen == pytest.approx(expected, abs=5 * (expected / trials) ** 0.5)


def test_probabilistic_at_temperature_zero_is_magnitude_and_zeros_go_first() -> None:
    torch.manual_seed(0)
    weights = torch.randn(30, 30, dtype=torch.float64)
    weights[0] = 0
    context = matrix_context(weights)
    cold = criteria.probabilistic(context, 0.0)["0.weight"].reshape(-1)
    assert torch.equal(cold.argsort(stable=True), weights.abs().reshape(-1).argsort(stable=True))
    hot = criteria.probabilistic(context, 1e5)["0.weight"]
    assert float(hot[0].max()) < float(hot[1:].min())
    with pytest.raises(InvalidInput, match="temperature=-1"):
        criteria.probabilistic(context, -1)


@given(st.integers(0, 10_000), st.integers(2, 7), st.integers(1, 5))
def test_fpgm_is_the_sum_of_distances_to_the_other_live_filters(seed: int, rows: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    alive = torch.rand(rows, generator=generator) > 0.3
    masks = {"0.weight": alive[:, None].expand(rows, columns).clone()}
    scores = criteria.fpgm(matrix_context(weights, masks=masks))["0.weight"]
    weights = weights * alive[:, None]
    for row in range(rows):
        distances = [float((weights[row] - weights[other]).norm()) for other in range(rows) if alive[other]]
        assert float(scores[row]) == pytest.approx(sum(distances), abs=1e-9)


def test_fpgm_drops_the_filter_in_the_middle_not_the_smallest() -> None:
    scores = criteria.fpgm(matrix_context(torch.tensor([[0.1, 0.0], [5.0, 0.0], [9.0, 0.0]])))["0.weight"]
    assert int(scores.argmin()) == 1
    assert scores.tolist() == pytest.approx([4.9 + 8.9, 4.9 + 4.0, 8.9 + 4.0])


def test_filters_of_transposed_convolutions_are_their_outputs() -> None:
    torch.manual_seed(0)
    model = nn.ConvTranspose2d(4, 6, 3, groups=2).double()
    full = criteria.fpgm(context_of(model))["weight"]
    assert full.shape == model.weight.shape
    weight = model.weight.detach()  # (4 inputs, 3 outputs a group, 3, 3)
    vectors = [weight[2 * group : 2 * group + 2, output].reshape(-1) for group in range(2) for output in range(3)]
    for group in range(2):
        for output in range(3):
            vector = vectors[3 * group + output]
            expected = sum(float((vector - other).norm()) for other in vectors)
            block = full[2 * group : 2 * group + 2, output]
            torch.testing.assert_close(block, torch.full_like(block, expected))


@pytest.mark.parametrize("by", ["mean", "max", "l2"])
def test_normalized_layers_are_of_size_one_and_keep_their_order(by: str) -> None:
    torch.manual_seed(0)
    masks = {"1.weight": torch.rand(7, 6) > 0.5}
    context = matrix_context(torch.randn(6, 5), 100 * torch.randn(7, 6), torch.zeros(3, 7), masks=masks)

    def signed(context: PruneContext) -> dict[str, Tensor]:
        return {name: weight.detach() + (~context.masks[name]) * 1e6 for name, weight in context.weights.items()}

    plain, scores = signed(context), criteria.normalized(signed, by=by)(context)
    for name in ("0.weight", "1.weight"):
        sizes = scores[name][context.masks[name]].abs()
        size = {"mean": sizes.mean(), "max": sizes.max(), "l2": sizes.square().sum().sqrt()}[by]
        assert float(size) == pytest.approx(1.0)
        assert torch.equal(scores[name].reshape(-1).argsort(), plain[name].reshape(-1).argsort())
    assert not bool(scores["2.weight"].any())


def test_normalized_rows_count_where_anything_is_alive_and_rules_are_checked() -> None:
    mask = torch.tensor([[True, False], [False, False], [True, True]])
    context = matrix_context(torch.ones(3, 2), masks={"0.weight": mask})
    scores = criteria.normalized(lambda context: {"0.weight": torch.tensor([1.0, 50.0, 3.0])})(context)
    assert scores["0.weight"].tolist() == [0.5, 25, 1.5]
    with pytest.raises(InvalidInput, match="did you mean mean"):
        criteria.normalized(criteria.magnitude, by="maen")
