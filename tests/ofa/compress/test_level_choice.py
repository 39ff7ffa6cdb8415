import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ofa.compress import levels_for_bytes, levels_within, share, sharing_scan
from ofa.errors import InvalidInput

LEVELS = (2, 4, 8)


def tensors(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scales = {"a": 1, "b": 3, "c": 9}
    return {name: scale * torch.randn(8, 9, generator=generator) for name, scale in scales.items()}


def measured(weights: dict[str, Tensor], levels: dict[str, int]) -> tuple[float, float]:
    """Estimated bytes and squared error."""
    sharing = share(weights, levels=levels)
    errors = ((value.double() - weights[name]).square().sum() for name, value in sharing.values().items())
    return sharing.estimated_bytes(), float(sum(errors))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 99), st.floats(0, 1))
def test_a_budget_holds_and_is_close_to_the_best(seed: int, share_of_range: float) -> None:
    weights = tensors(seed)
    every = [measured(weights, dict(zip("abc", chosen, strict=True))) for chosen in itertools.product(LEVELS, repeat=3)]
    least, most = every[0][0], every[-1][0]
    size = least + share_of_range * (most - least)
    chosen = levels_for_bytes(weights, size, levels=LEVELS)
    spent, error = measured(weights, chosen)
    assert spent <= size
    # The Lagrangian's optimum lies within one step of a tensor of the budget.
    largest_step = max(measured(weights, {name: 8})[0] - measured(weights, {name: 2})[0] for name in "abc")
    assert error <= min(other for bytes_, other in every if bytes_ <= size - largest_step or bytes_ == least) + 1e-9


def test_much_is_spent_where_errors_are_large() -> None:
    chosen = levels_for_bytes(tensors(0), 210)
    assert chosen["a"] < chosen["b"] < chosen["c"]


def test_measured_harm_decides_in_place_of_errors() -> None:
    harm = {"a": {2: 5.0, 8: 0.0}, "b": {2: 0.0, 8: 0.0}, "c": {2: 0.1, 8: 0.0}}
    weights = tensors(1)
    enough = share(weights, levels={"a": 8, "b": 2, "c": 2}).estimated_bytes()
    assert levels_for_bytes(weights, enough, harm=harm) == {"a": 8, "b": 2, "c": 2}


def test_too_few_bytes_are_refused_with_what_it_takes() -> None:
    weights = tensors(2)
    least = share(weights, levels=2).estimated_bytes()
    with pytest.raises(InvalidInput, match=f"the fewest levels take about {least:.0f}"):
        levels_for_bytes(weights, least - 1, levels=LEVELS)
    with pytest.raises(InvalidInput, match="harm names no 'c'"):
        levels_for_bytes(weights, 1e6, harm={"a": {2: 0.0}, "b": {2: 0.0}})
    with pytest.raises(InvalidInput, match="size=nan"):
        levels_for_bytes(weights, float("nan"))


def test_a_scan_measures_each_tensor_alone_and_leaves_the_model() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    inputs = torch.randn(20, 6)
    with torch.no_grad():
        target = model(inputs)

    def loss(network: nn.Module) -> float:
        with torch.no_grad():
            return float((network(inputs) - target).square().mean())

    before = {name: value.clone() for name, value in model.state_dict().items()}
    scan = sharing_scan(model, loss, levels=(1, 4, 32))
    assert set(scan) == {"0.weight", "1.weight"}
    assert all(harm[1] > harm[4] > harm[32] == 0.0 for harm in scan.values())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert levels_within(scan, 0.0) == {"0.weight": 32, "1.weight": 32}
    most = scan["0.weight"][4]
    assert levels_within(scan, most)["0.weight"] == 4
    with pytest.raises(InvalidInput, match="most=-1"):
        levels_within(scan, -1.0)
    share(model, levels=levels_within(scan, most)).put(model)
    assert 0 < loss(model)
