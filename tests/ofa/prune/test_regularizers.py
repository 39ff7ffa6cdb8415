import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import Tensor, nn

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
    ProximalL2,
    SparseGroupLasso,
    proximal_steps_,
    total_penalty,
)
from ofa.prune.regularizers.integers import step_of
from ofa.prune.regularizers.regularizer import Penalty, Proximal

LOSSES: dict[str, Penalty] = {
    "l1": L1(0.3),
    "l2": L2(0.3),
    "norm_l1": NormL1(0.3),
    "group_lasso": GroupLasso(0.3, layers={"last.weight": 0.1}),
    "sparse_group_lasso": SparseGroupLasso(0.3, alpha=0.4, layers={"last.weight": 0.1}),
    "orthogonal": Orthogonal(0.3),
}


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    shapes = {"conv.weight": (3, 2, 2, 2), "conv.bias": (3,), "norm.weight": (3,), "norm.bias": (3,)}
    shapes |= {"middle.weight": (4, 3), "last.weight": (2, 4), "last.bias": (2,)}
    generator = torch.Generator().manual_seed(seed)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator, dtype=torch.float64))
        for name, shape in shapes.items()
    }


def groups(weights: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
    """Each neuron's incoming weights with its bias, one by one."""
    found = []
    for name in ("conv", "middle", "last"):
        for row, held in enumerate(weights[f"{name}.weight"]):
            bias = [weights[f"{name}.bias"][row].reshape(1)] if f"{name}.bias" in weights else []
            found.append((name, torch.cat([held.reshape(-1), *bias])))
    return found


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


def vectors() -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-3, 3).map(lambda value: round(value, 3)), min_size=3, max_size=3)


@settings(max_examples=20, deadline=None)
@given(vectors(), st.floats(0.01, 2.0), st.floats(0.05, 1.0), st.floats(0.0, 1.0))
def test_proximal_steps_minimise_what_they_should(w: list[float], strength: float, step: float, alpha: float) -> None:
    """Brute force: argmin_v |v - w|^2 / 2 + step r(v), from many starts; the closed form is never worse."""
    start = np.array(w)
    rules: list[tuple[Proximal, Callable[[np.ndarray], float]]] = [
        (ProximalL1(strength, select=["*"]), lambda v: strength * np.abs(v).sum()),
        (ProximalL2(strength, select=["*"]), lambda v: strength * (v**2).sum()),
        (GroupLasso(strength), lambda v: strength * math.sqrt(3) * np.linalg.norm(v)),
        (
            SparseGroupLasso(strength, alpha),
            lambda v: strength * ((1 - alpha) * math.sqrt(3) * np.linalg.norm(v) + alpha * np.abs(v).sum()),
        ),
    ]
    for regularizer, penalty in rules:
        weights = {
            "a.weight": nn.Parameter(torch.tensor([w[:2]], dtype=torch.float64)),
            "a.bias": nn.Parameter(torch.tensor(w[2:], dtype=torch.float64)),
        }
        regularizer.proximal_(weights, step, 1.0)
        found = np.array([*weights["a.weight"].detach().reshape(-1), *weights["a.bias"].detach()])

        def objective(v: np.ndarray, penalty: Callable[[np.ndarray], float] = penalty) -> float:
            return float(np.sum((v - start) ** 2) / 2 + step * penalty(v))

        searched = [minimize(objective, guess, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
                    for guess in (start, np.zeros(3), start / 2)]  # fmt: skip
        best = min(searched, key=lambda result: float(result.fun))
        assert objective(found) <= best.fun + 1e-9
        np.testing.assert_allclose(found, best.x, atol=2e-3)


def test_groups_become_exactly_zero_and_the_rest_does_not() -> None:
    weights = parameters()
    before = groups({name: weight.detach().clone() for name, weight in weights.items()})
    lengths = sorted(float(g.norm()) / math.sqrt(len(g)) for _, g in before)
    limit = (lengths[3] + lengths[4]) / 2
    GroupLasso(limit).proximal_(weights, 1.0, 0.0)
    gone = [bool((group == 0).all()) for _, group in groups(weights)]
    assert gone == [float(g.norm()) / math.sqrt(len(g)) < limit for _, g in before]
    assert sum(gone) == 4
    assert all(bool((group != 0).all()) for (_, group), zero in zip(groups(weights), gone, strict=True) if not zero)
    torch.testing.assert_close(weights["norm.weight"], parameters()["norm.weight"])


def test_a_group_of_zeros_stays_without_nan() -> None:
    weights = parameters()
    for name in ("conv.weight", "conv.bias"):
        weights[name].data[0] = 0
    for regularizer in (GroupLasso(0.1), SparseGroupLasso(0.1), GroupLasso(0.0)):
        (regularizer.penalty(weights, 0.0) + weights["norm.bias"].sum()).backward()
        regularizer.proximal_(weights, 0.1, 0.0)
        assert not weights["conv.weight"][0].any() and not weights["conv.bias"][0].any()
        assert all(w.grad is None or bool(torch.isfinite(w.grad).all()) for w in weights.values())


def test_a_layer_of_strength_zero_is_left_alone() -> None:
    weights = parameters()
    GroupLasso(100.0, layers={"last.weight": 0.0}).proximal_(weights, 1.0, 0.0)
    torch.testing.assert_close(weights["last.weight"], parameters()["last.weight"])
    torch.testing.assert_close(weights["last.bias"], parameters()["last.bias"])
    assert not weights["conv.weight"].any() and not weights["middle.weight"].any()


def test_a_bias_that_is_selected_by_itself_counts_once_and_a_norm_in_pairs() -> None:
    weights = parameters()
    layers = ["conv.weight", "conv.bias", "norm.weight", "norm.bias"]
    pairs = torch.stack([weights["norm.weight"], weights["norm.bias"]], dim=1)
    filters = torch.cat([weights["conv.weight"].flatten(1), weights["conv.bias"][:, None]], dim=1)
    expected = math.sqrt(2) * pairs.norm(dim=1).sum() + 3 * filters.norm(dim=1).sum()
    assert GroupLasso(1.0, select=layers).penalty(weights, 0.0).item() == pytest.approx(expected.item())
    lone = GroupLasso(1.0, select=["conv.bias"]).penalty(weights, 0.0).item()
    assert lone == pytest.approx(weights["conv.bias"].abs().sum().item())


def test_proximal_gradient_finds_the_neurons_that_matter() -> None:
    """A wide layer is fitted to a teacher of two neurons: the others end as exact zeros, and the fit stays."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(256, 5, generator=generator)
    teacher = torch.randn(5, 2, generator=generator)
    targets = torch.cat([inputs @ teacher, torch.zeros(256, 6)], dim=1)
    layer = nn.Linear(5, 8)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.2)
    for _ in range(200):
        optimizer.zero_grad()
        (layer(inputs) - targets).square().sum(dim=1).mean().backward()
        optimizer.step()
        proximal_steps_([GroupLasso(0.05)], dict(layer.named_parameters()), 0.2, 1.0)
    assert [bool(row.any()) for row in layer.weight] == [True, True] + [False] * 6
    assert not layer.bias[2:].any()
    torch.testing.assert_close(layer.weight[:2].T.detach(), teacher, rtol=0.1, atol=0.1)


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
        (lambda: Orthogonal(0.1, select=["norm.weight"]).penalty(parameters(), 0.0), "no matrix"),
        (lambda: L1(0.1, select=["konv.weight"]).penalty(parameters(), 0.0), "did you mean conv.weight"),
        (lambda: GroupLasso(0.1, {"lst.weight": 0.0}).proximal_(parameters(), 1.0, 0.0), "did you mean last.weight"),
    ],
)
def test_wrong_settings_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make()
