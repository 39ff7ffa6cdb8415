import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from ofa.errors import InvalidInput
from ofa.models import LeNet5
from ofa.prune.regularizers import (
    L1,
    L2,
    AsLoss,
    GroupLasso,
    IntegerAttracting,
    NormL1,
    Orthogonal,
    ProximalL1,
    SparseGroupLasso,
    proximal_steps_,
    total_penalty,
)
from ofa.prune.regularizers.integers import step_of
from ofa.prune.regularizers.regularizer import Penalty
from tests.ofa.prune.regularized_weights import groups, parameters

LOSSES: dict[str, Penalty] = {
    "l1": L1(0.3),
    "l2": L2(0.3),
    "norm_l1": NormL1(0.3),
    "group_lasso": GroupLasso(0.3, layers={"last.weight": 0.1}),
    "sparse_group_lasso": SparseGroupLasso(0.3, alpha=0.4, layers={"last.weight": 0.1}),
    "orthogonal": Orthogonal(0.3),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    weights = parameters()
    loss = LOSSES[name]
    names, values = zip(*weights.items(), strict=True)
    assert torch.autograd.gradcheck(lambda *held: loss.penalty(dict(zip(names, held, strict=True)), 1.0), values)


def test_values_are_those_written_out() -> None:
    weights = parameters()
    matrices = [weights[name].detach() for name in ("conv.weight", "middle.weight", "last.weight")]
    assert L1(2.0).penalty(weights, 0).item() == pytest.approx(2 * sum(m.abs().sum().item() for m in matrices))
    assert L2(2.0).penalty(weights, 0).item() == pytest.approx(2 * sum((m**2).sum().item() for m in matrices))
    assert NormL1(2.0).penalty(weights, 0).item() == pytest.approx(2 * weights["norm.weight"].abs().sum().item())
    terms = [(0.5 if name == "last" else 2.0, group) for name, group in groups(weights)]
    lasso = sum(strength * math.sqrt(len(g)) * math.sqrt(sum(v**2 for v in g.tolist())) for strength, g in terms)
    single = sum(strength * sum(abs(v) for v in g.tolist()) for strength, g in terms)
    layers = {"last*": 0.5}
    assert GroupLasso(2.0, layers).penalty(weights, 0).item() == pytest.approx(lasso)
    mixed = SparseGroupLasso(2.0, 0.25, layers).penalty(weights, 0).item()
    assert mixed == pytest.approx(0.75 * lasso + 0.25 * single)
    orthogonal = Orthogonal(2.0, select=["last.weight"]).penalty(weights, 0).item()
    gram = weights["last.weight"].detach().numpy() @ weights["last.weight"].detach().numpy().T
    assert orthogonal == pytest.approx(2 * np.sum((gram - np.eye(2)) ** 2))


def test_ridge_is_weight_decay_of_twice_its_strength() -> None:
    decayed, penalised = parameters(), parameters()
    for weights, decay in ((decayed, 0.02), (penalised, 0.0)):
        optimizer = torch.optim.SGD(weights.values(), lr=0.1, weight_decay=decay)
        data = sum(w.sum() for w in weights.values())
        (data + (L2(0.01, select=["*"]).penalty(weights, 0) if not decay else 0)).backward()
        optimizer.step()
    for name in decayed:
        torch.testing.assert_close(decayed[name], penalised[name])


def test_a_bias_that_is_selected_by_itself_counts_once_and_a_norm_in_pairs() -> None:
    weights = parameters()
    layers = ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    pairs = torch.stack([weights["norm.weight"], weights["norm.bias"]], dim=1)
    filters = torch.cat([weights["conv.weight"].flatten(1), weights["conv.bias"][:, None]], dim=1)
    expected = math.sqrt(2) * pairs.norm(dim=1).sum() + 3 * filters.norm(dim=1).sum()
    assert GroupLasso(1.0, select=layers).penalty(weights, 0.0).item() == pytest.approx(expected.item())
    lone = GroupLasso(1.0, select=["conv.bias"]).penalty(weights, 0.0).item()
    assert lone == pytest.approx(weights["conv.bias"].abs().sum().item())


def test_integers_attract_to_the_levels_of_each_layer() -> None:
    weight = nn.Parameter(torch.tensor([[0.9, 0.31, -0.58, 0.0]], dtype=torch.float64))
    attract = IntegerAttracting(2.0, bits=3)  # levels: multiples of 0.9 / 3
    assert float(step_of(weight, 3)) == pytest.approx(0.3)
    value = attract.penalty({"a.weight": weight}, 1.0)
    assert value.item() == pytest.approx(2 * sum(math.sin(math.pi * w / 0.3) ** 2 for w in (0.9, 0.31, 0.58)))
    value.backward()
    closed = [2 * math.pi / 0.3 * math.sin(2 * math.pi * w / 0.3) for w in (0.9, 0.31, -0.58, 0.0)]
    torch.testing.assert_close(weight.grad, torch.tensor([closed], dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=1e-3)
    for _ in range(200):
        optimizer.zero_grad()
        attract.penalty({"a.weight": weight}, 1.0).backward()
        optimizer.step()
    torch.testing.assert_close(weight, weight.new_tensor([[0.9, 0.3, -0.6, 0.0]]), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 0.0), (0.2, 0.0), (0.5, 0.5), (0.8, 1.0), (1.0, 1.0)])
def test_the_ramp_scales_the_penalty(progress: float, share: float) -> None:
    weights = {"a.weight": parameters()["conv.weight"]}
    ramped = IntegerAttracting(1.0, bits=4, ramp=(0.2, 0.8))
    full = IntegerAttracting(1.0, bits=4, ramp=(0.0, 0.0))
    assert ramped.penalty(weights, progress).item() == pytest.approx(share * full.penalty(weights, 0.0).item())


def test_a_layer_of_zeros_has_no_integer_penalty() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    value = IntegerAttracting(1.0).penalty({"a.weight": weight}, 1.0)
    value.backward()
    assert value.item() == 0 and not weight.grad.any()


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 2, 3, 3)])
def test_orthogonal_rows_or_columns_are_the_minimum(shape: tuple[int, ...]) -> None:
    weight = nn.Parameter(torch.empty(shape, dtype=torch.float64))
    nn.init.orthogonal_(weight, generator=torch.Generator().manual_seed(0))
    assert Orthogonal(1.0).penalty({"a.weight": weight}, 0.0).item() == pytest.approx(0, abs=1e-20)
    other = nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    Orthogonal(1.0).penalty({"a.weight": other}, 0.0).backward()
    matrix = other.detach().flatten(1).requires_grad_()
    (matrix @ matrix.T - torch.eye(shape[0], dtype=torch.float64)).square().sum().backward()
    torch.testing.assert_close(other.grad.flatten(1), matrix.grad)


def test_regularizers_act_once_each_in_a_list() -> None:
    """One with a proximal step is not in the loss, unless it is wrapped."""
    weights = parameters()
    lasso = GroupLasso(0.1)
    assert total_penalty([lasso, ProximalL1(0.1)], weights, 0.0).item() == 0
    assert total_penalty([], weights, 0.0).item() == 0
    both = total_penalty([AsLoss(lasso), L2(0.1)], weights, 0.0).item()
    assert both == pytest.approx(lasso.penalty(weights, 0.0).item() + L2(0.1).penalty(weights, 0.0).item())
    proximal_steps_([AsLoss(lasso), L2(5.0)], weights, 1.0, 0.0)
    torch.testing.assert_close(weights["conv.weight"], parameters()["conv.weight"])
    proximal_steps_([ProximalL1(0.1), ProximalL1(0.2)], weights, 0.5, 0.0)
    expected = nn.functional.softshrink(parameters()["conv.weight"].data, 0.15)
    torch.testing.assert_close(weights["conv.weight"].data, expected)


def test_norm_l1_finds_the_norms_of_a_model() -> None:
    weights = dict(LeNet5(batch_norm=True).named_parameters())
    assert NormL1(0.5).penalty(weights, 0.0).item() == pytest.approx(0.5 * (6 + 16))
    assert NormL1(0.5, select=["norm1.weight"]).penalty(weights, 0.0).item() == pytest.approx(3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L1(-1.0), "L1 strength=-1.0"),
        (lambda: GroupLasso(0.1, layers={"conv*": float("nan")}), r"conv\*=nan"),
        (lambda: SparseGroupLasso(0.1, alpha=1.5), "alpha=1.5"),
        (lambda: IntegerAttracting(0.1, bits=1), "bits=1"),
        (lambda: IntegerAttracting(0.1, ramp=(0.5, 0.2)), "ramp"),
        (lambda: Orthogonal(0.1, select=["norm.weight"]).penalty(parameters(), 0.0), "not a matrix"),
        (lambda: L1(0.1, select=["konv.weight"]).penalty(parameters(), 0.0), "did you mean conv.weight"),
        (lambda: GroupLasso(0.1, {"lst.weight": 0.0}).proximal_(parameters(), 1.0, 0.0), "did you mean last.weight"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
