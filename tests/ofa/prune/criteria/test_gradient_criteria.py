"""Criteria of gradients, against finite differences: taylor, snip, grasp, movement."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from ofa import InvalidInput
from ofa.prune import criteria
from ofa.prune.context import Criterion, PruneContext
from tests.ofa.prune.contexts import Batch, context_of, labeled, mean_loss, slopes, smooth_net


def smooth_context() -> tuple[PruneContext, list[Batch]]:
    batches = labeled((3,), sizes=(6, 2), classes=3)
    masks = {"3.weight": torch.rand(4, 4, generator=torch.Generator().manual_seed(0)) > 0.4}
    return context_of(smooth_net(), batches, masks), batches


def test_taylor_is_the_mean_over_batches_of_the_squared_change() -> None:
    context, batches = smooth_context()
    scores = criteria.taylor(context)
    for name, weight in context.weights.items():
        changes = [weight.detach() * slopes(weight, lambda one=one: mean_loss(context.model, [one])) for one in batches]
        expected = (changes[0].square() + changes[1].square()) / 2
        torch.testing.assert_close(scores[name], expected, rtol=1e-6, atol=1e-12)


def test_snip_is_the_slope_by_a_factor_on_each_weight_of_the_loss_over_all_images() -> None:
    context, batches = smooth_context()
    scores = criteria.snip(context)
    for name, weight in context.weights.items():
        factors = nn.Parameter(torch.ones_like(weight))
        before = weight.detach().clone()

        def loss(weight: nn.Parameter = weight, before: torch.Tensor = before, by: nn.Parameter = factors) -> float:
            weight.data.copy_(before * by.detach())
            return mean_loss(context.model, batches)

        expected = slopes(factors, loss).abs()
        weight.data.copy_(before)
        torch.testing.assert_close(scores[name], expected, rtol=1e-6, atol=1e-10)


def squared_gradient(context: PruneContext, batches: list[Batch], temperature: float) -> float:
    """The squared norm of the gradient by the live weights, from first derivatives only."""
    images, labels = torch.cat([i for i, _ in batches]), torch.cat([n for _, n in batches])
    context.model.eval()
    loss = functional.cross_entropy(context.model(images) / temperature, labels)
    gradients = torch.autograd.grad(loss, list(context.weights.values()))
    return sum(
        float((g * context.masks[name]).square().sum()) for name, g in zip(context.weights, gradients, strict=True)
    )


@pytest.mark.parametrize("temperature", [1.0, 5.0])
def test_grasp_is_what_the_gradients_norm_loses_with_a_weight(temperature: float) -> None:
    context, batches = smooth_context()
    scores = criteria.grasp(context, temperature)
    for name, weight in context.weights.items():
        slope = slopes(weight, lambda: squared_gradient(context, batches, temperature))
        torch.testing.assert_close(scores[name], weight.detach() * slope / 2, rtol=1e-5, atol=1e-9)


class Attending(nn.Module):
    """Attention among two halves of each row, by torch's fused kernel."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        halves = rows.reshape(len(rows), 1, 2, 2)
        return functional.scaled_dot_product_attention(halves, halves, halves).reshape(rows.shape)


def test_grasp_takes_second_derivatives_of_attention() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), Attending(), nn.Linear(4, 3)).double()
    batches = labeled((3,), sizes=(6, 2), classes=3)
    context = context_of(model, batches)
    scores = criteria.grasp(context)
    with sdpa_kernel(SDPBackend.MATH):
        for name, weight in context.weights.items():
            slope = slopes(weight, lambda: squared_gradient(context, batches, 1.0))
            torch.testing.assert_close(scores[name], weight.detach() * slope / 2, rtol=1e-5, atol=1e-9)


def test_grasp_keeps_the_weight_whose_removal_costs_gradient_flow() -> None:
    """Removing it altogether, not by a little: loss (a w1^2 + b w2^2) / 2 has H g = (a^2 w1, b^2 w2)."""
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 1.0]]))
    curvature = torch.tensor([1.0, 3.0])

    def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (curvature * model.weight[0].square()).sum() / 2 + 0 * outputs.sum()

    data = [(torch.zeros(1, 2, dtype=torch.float64), torch.zeros(1))]
    context = PruneContext(
        model, {"weight": model.weight}, {"weight": torch.ones(1, 2, dtype=torch.bool)}, torch.Generator(),
        batches=lambda: data, loss=loss,
    )  # fmt: skip
    assert criteria.grasp(context)["weight"].tolist() == [[1.0, 9.0]]


def test_grasp_of_a_loss_that_is_linear_in_the_weights_is_zero() -> None:
    model = nn.Linear(2, 1, bias=False).double()
    data = [(torch.ones(2, 2, dtype=torch.float64), torch.zeros(2))]
    context = PruneContext(
        model, {"weight": model.weight}, {"weight": torch.ones(1, 2, dtype=torch.bool)}, torch.Generator(),
        batches=lambda: data, loss=lambda outputs, labels: outputs.mean(),
    )  # fmt: skip
    assert criteria.grasp(context)["weight"].tolist() == [[0.0, 0.0]]
    with pytest.raises(InvalidInput, match="temperature=0"):
        criteria.grasp(context, temperature=0)


class HalfUsed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = smooth_net(), nn.Linear(2, 2).double()

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.used(values)


@pytest.mark.parametrize("criterion", [criteria.taylor, criteria.snip, criteria.grasp])
def test_a_weight_that_the_loss_does_not_reach_scores_zero(criterion: Criterion) -> None:
    scores = criterion(context_of(HalfUsed(), labeled((3,), classes=3)))
    assert not bool(scores["unused.weight"].any()) and bool(scores["used.0.weight"].any())


def test_movement_sums_minus_gradient_times_weight_over_a_training() -> None:
    model = smooth_net().eval()
    context = context_of(model)
    movement = criteria.Movement()
    with pytest.raises(InvalidInput, match="first event comes later"):
        movement(context)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    expected = {name: torch.zeros_like(weight) for name, weight in context.weights.items()}
    for images, labels in labeled((3,), sizes=(5, 5, 5, 5), classes=3):
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        movement.observe(context)
        for name, weight in context.weights.items():
            expected[name] -= weight.grad * weight.detach()
    for name, score in movement(context).items():
        torch.testing.assert_close(score, expected[name])
    assert sorted(context.memory) == sorted(f"movement/{name}" for name in context.weights)


def test_movement_prefers_what_grows_over_what_is_large() -> None:
    model = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[5.0, 0.5]]))
    context = context_of(model)
    movement = criteria.Movement()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):  # pulls the first weight to 0 and the second to 2
        optimizer.zero_grad()
        (model.weight - torch.tensor([[0.0, 2.0]])).square().sum().backward()
        optimizer.step()
        movement.observe(context)
    large, growing = movement(context)["weight"][0].tolist()
    sizes = model.weight.detach().abs()[0].tolist()
    assert large < 0 < growing and sizes[0] > sizes[1]


def test_movement_goes_on_from_a_memory_and_takes_no_gradient_for_none() -> None:
    model = nn.Linear(2, 1, bias=False)
    context = context_of(model)
    context.memory["movement/weight"] = torch.tensor([[1.0, 2.0]])
    criteria.Movement().observe(context)
    assert criteria.Movement()(context)["weight"].tolist() == [[1, 2]]
