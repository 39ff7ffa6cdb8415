"""Initializers that look at images: layers learn at one pace, neurons start as components and clusters of patches."""

import math

import pytest
import torch
from torch import Tensor, nn

from ofa.prune.initializers import data_dependent_
from ofa.prune.initializers.calibrating import calibrate_layers_, gradient_ratios
from ofa.prune.initializers.data_dependent import patches
from ofa.prune.initializers.directions import clustered, principal
from ofa.prune.initializers.layers import layers, normal, rows
from ofa.prune.initializers.measuring import followed_by_norm, normalizing, output_of, run
from ofa.prune.initializers.random_ import orthonormal
from tests.ofa.prune.initialized_models import INITIALIZERS, made, seeded


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "lenet5_norm"])
def test_one_round_makes_all_layers_of_a_chain_learn_at_one_pace(name: str) -> None:
    """Where layers are homogeneous one round is exact, and the output stays; layers before a norm stay too."""
    model, images = made(name)
    model, images = model.double(), images.double()
    data_dependent_(model, images, seeded(), calibrate=False)
    before = {path: layer.weight.detach().clone() for path, layer in layers(model).items()}
    with normalizing(model), torch.no_grad():
        normed = followed_by_norm(model, images)
        output = run(model, images)
        top = normal(tuple(output.shape), seeded(5))
        ratios = gradient_ratios(model, images, top, normed)
        assert max(ratios.values()) > 1.5 * min(ratios.values())
        calibrate_layers_(model, images, seeded(5), rounds=1, leave=normed)
        torch.testing.assert_close(run(model, images), output)
        found = gradient_ratios(model, images, top, normed)
    mean = math.prod(ratios.values()) ** (1 / len(ratios))
    assert list(found.values()) == pytest.approx([mean] * len(found))
    assert set(found) == set(layers(model)) - normed
    assert normed == ({"conv1", "conv2"} if name == "lenet5_norm" else frozenset())
    for path in normed:
        assert torch.equal(layers(model)[path].weight, before[path])


class Smooth(nn.Module):
    """Not homogeneous, and not a chain."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(12, 12) for _ in range(4))
        self.last = nn.Linear(12, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        for layer in self.layers:
            inputs = inputs + torch.tanh(layer(inputs))
        return self.last(inputs)


def test_rounds_bring_the_paces_together_in_other_models() -> None:
    spread = {}
    for rounds in (0, 10):
        model, images = Smooth().double(), torch.randn(64, 12, dtype=torch.float64, generator=seeded(1))
        data_dependent_(model, images, seeded(), calibrate=False)
        with torch.no_grad():
            model.last.weight.mul_(5)
            calibrate_layers_(model, images, seeded(5), rounds=rounds)
            output = run(model, images)
            ratios = gradient_ratios(model, images, normal((64, 3), seeded(5)))
        spread[rounds] = max(ratios.values()) / min(ratios.values())
    assert spread[0] > 3 and spread[10] < 1.1
    assert 0.7 < output.std(dim=0).mean().item() < 1.4


def test_gradient_ratios_agree_with_a_backward_pass() -> None:
    model, images = made("lenet5")
    top = torch.randn(12, 5, generator=seeded())
    (model(images) * top).sum().backward()
    ratios = gradient_ratios(model, images, top, leave=["conv1"])
    assert set(ratios) == set(layers(model)) - {"conv1"}
    for path, ratio in ratios.items():
        weight = layers(model)[path].weight
        assert ratio == pytest.approx((weight.grad.norm() / weight.norm()).item(), rel=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, padding=1, stride=2),
        nn.Conv2d(4, 6, (3, 2), dilation=2, groups=2),
        nn.Conv2d(4, 6, 3, padding="same", padding_mode="circular"),
        nn.Conv1d(4, 6, 3, padding=2),
        nn.Conv3d(4, 6, 2),
        nn.Linear(7, 6),
    ],
)
def test_patches_are_what_the_rows_are_multiplied_with(layer: nn.Module) -> None:
    layer = layer.double()
    sizes = {nn.Linear: (7,), nn.Conv1d: (7,), nn.Conv2d: (7, 7), nn.Conv3d: (5, 5, 5)}[type(layer)]
    inputs = torch.rand(2, 4, *sizes, dtype=torch.float64, generator=seeded())
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    seen = patches(layer, inputs, 10**6, seeded())  # type: ignore[arg-type]
    assert seen is not None
    each = 6 // len(seen)
    matrix = rows(layer).reshape(len(seen), each, -1)  # type: ignore[arg-type]
    product = torch.cat([seen[group] @ matrix[group].T for group in range(len(seen))], dim=1).T
    torch.testing.assert_close(product, output_of(layer, inputs))  # type: ignore[arg-type]
    few = patches(layer, inputs, 5, seeded())  # type: ignore[arg-type]
    assert few is not None and few.shape[1] == 5
    assert all(bool((seen[0] == vector).all(dim=1).any()) for vector in few[0])


def test_principal_components_whiten_and_come_in_order() -> None:
    generator = seeded()
    vectors = torch.randn(20_000, 6, generator=generator, dtype=torch.float64) * torch.tensor([1, 5, 2, 0, 3, 4.0])
    basis = orthonormal(torch.Size((6, 6)), generator)
    outputs = (vectors @ basis) @ principal(vectors @ basis, 4, generator).T
    torch.testing.assert_close(outputs.T.cov(correction=0), torch.eye(4, dtype=torch.float64), rtol=0, atol=1e-8)
    rows = principal(vectors @ basis, 4, generator)
    axes = nn.functional.normalize(rows, dim=1) @ basis.T
    assert axes.abs().argmax(dim=1).tolist() == [1, 5, 4, 2]
    assert bool((axes.abs().max(dim=1).values > 0.99).all())
    many = principal(vectors @ basis, 9, generator)  # one direction never varies: five components, four random rows
    assert many.shape == (9, 6) and bool(torch.isfinite(many).all())
    assert float((many @ basis.T)[:, 3].abs().max()) < 1e-6 * float(many.abs().max())


def test_k_means_finds_planted_clusters_in_a_flat_background() -> None:
    """Three bright patterns among 90 % equal patches: each has a row that answers to it most."""
    generator = seeded()
    patterns = torch.tensor([[4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 4.0, 4.0]], dtype=torch.float64)
    kinds = torch.randint(3, (100,), generator=generator)
    noise = torch.randn(100, 4, generator=generator, dtype=torch.float64) / 20
    vectors = torch.cat([torch.zeros(900, 4, dtype=torch.float64), patterns[kinds] + noise])
    rows = clustered(vectors, 4, generator)
    answers = (patterns - vectors.mean(dim=0)) @ nn.functional.normalize(rows, dim=1).T
    assert len(set(answers.argmax(dim=1).tolist())) == 3
    assert clustered(torch.ones(10, 4, dtype=torch.float64), 3, generator).isfinite().all()


def test_a_constant_neuron_is_left_finite() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for name in ("random", "pca", "kmeans", "lsuv"):
        INITIALIZERS[name](model, torch.ones(8, 4), seeded())
        assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
