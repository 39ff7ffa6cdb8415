from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.models import LeNet5
from ofa.prune.initializers import kaiming_, lsuv_
from ofa.prune.rewinding import random_masks, reinitialize_, remove_, rewind_, shuffle_masks, snapshot


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def net() -> tuple[nn.Module, dict[str, Tensor]]:
    torch.manual_seed(0)
    model = LeNet5((1, 12, 12), 3, hidden=(10, 6), batch_norm=True)
    masks = {
        name: torch.rand(weight.shape, generator=seeded(1)) < 0.3
        for name, weight in model.named_parameters()
        if weight.dim() >= 2
    }
    return model, masks


def train_a_little(model: nn.Module) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        model(torch.rand(8, 1, 12, 12, generator=seeded())).square().mean().backward()
        optimizer.step()


def test_rewinding_puts_back_weights_and_statistics_and_removes_the_rest() -> None:
    model, masks = net()
    taken = snapshot(model)
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    train_a_little(model)
    for name, tensor in taken.items():
        assert torch.equal(tensor, first[name])  # a copy, not the weights themselves
    model.conv1.weight.data[0, 0, 0, 0] = float("nan")
    parameters = [id(parameter) for parameter in model.parameters()]
    rewind_(model, taken, masks)
    for name, tensor in model.state_dict().items():
        expected = first[name] * masks[name] if name in masks else first[name]
        assert torch.equal(tensor, expected), name
    assert [id(parameter) for parameter in model.parameters()] == parameters


def test_removing_leaves_exact_zeros_whatever_was_there() -> None:
    model, masks = net()
    masks["conv1.weight"][0] = False
    model.conv1.weight.data[0] = float("inf")
    remove_(model, masks)
    assert all(not model.get_parameter(name)[~mask].any() for name, mask in masks.items())


def test_reinitializing_draws_all_anew_under_the_same_masks() -> None:
    model, masks = net()
    before = snapshot(model)
    reinitialize_(model, kaiming_, masks, seeded(5))
    plain, _ = net()
    kaiming_(plain, None, seeded(5))
    for name, mask in masks.items():
        weight = model.get_parameter(name)
        assert torch.equal(weight, plain.get_parameter(name) * mask)
        assert not bool((weight == before[name])[mask].any())
    reinitialize_(model, lsuv_, masks, seeded(5), torch.rand(8, 1, 12, 12))
    with pytest.raises(InvalidInput, match="0 given"):
        reinitialize_(model, lsuv_, masks, seeded(5))


shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4)


@settings(max_examples=50, deadline=None)
@given(shapes, st.integers(0, 1000), st.floats(0, 1))
def test_counts_stay(sizes: list[tuple[int, int]], seed: int, density: float) -> None:
    masks = {str(at): torch.rand(size, generator=seeded(seed)) < density for at, size in enumerate(sizes)}
    before = {name: mask.clone() for name, mask in masks.items()}
    for shuffled in (shuffle_masks(masks, seeded(seed)), random_masks(masks, seeded(seed))):
        assert {n: (m.shape, m.dtype, int(m.sum())) for n, m in shuffled.items()} == {
            n: (m.shape, torch.bool, int(m.sum())) for n, m in masks.items()
        }
    spread = random_masks(masks, seeded(seed), per_layer=False)
    assert {n: m.shape for n, m in spread.items()} == {n: m.shape for n, m in masks.items()}
    assert sum(int(m.sum()) for m in spread.values()) == sum(int(m.sum()) for m in masks.values())
    assert all(torch.equal(masks[name], before[name]) for name in masks)


def test_every_place_is_as_likely() -> None:
    masks = {"a": torch.tensor([[True, False, False, False]]), "b": torch.ones(1, 2, dtype=torch.bool)}
    within, across = torch.zeros(4), torch.zeros(6)
    generator = seeded()
    for _ in range(3000):
        within += shuffle_masks(masks, generator)["a"][0]
        drawn = random_masks(masks, generator, per_layer=False)
        across += torch.cat([drawn["a"][0], drawn["b"][0]])
    torch.testing.assert_close(within / 3000, torch.full((4,), 1 / 4), rtol=0, atol=0.035)
    torch.testing.assert_close(across / 3000, torch.full((6,), 3 / 6), rtol=0, atol=0.04)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda taken, masks: masks.update({"conv1.wight": masks["conv1.weight"]}), "did you mean conv1.weight"),
        (lambda taken, masks: masks.update({"conv1.weight": masks["conv2.weight"]}), "it must be"),
        (lambda taken, masks: masks.update({"conv1.weight": masks["conv1.weight"].float()}), "of float32"),
        (lambda taken, masks: taken.pop("conv1.bias"), "another model"),
    ],
)
def test_what_is_of_another_model_is_refused_and_nothing_changes(
    change: Callable[[dict[str, Tensor], dict[str, Tensor]], object], message: str
) -> None:
    model, masks = net()
    taken = snapshot(model)
    train_a_little(model)
    before = snapshot(model)
    change(taken, masks)
    with pytest.raises(InvalidInput, match=message):
        rewind_(model, taken, masks)
    assert all(torch.equal(tensor, before[name]) for name, tensor in snapshot(model).items())
