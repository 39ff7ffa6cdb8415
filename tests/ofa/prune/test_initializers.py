import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.models import LeNet5, LeNet300, MobileNet, ResNet
from ofa.prune.initializers import Initializer, data_dependent_, kaiming_, lsuv_, orthogonal_, xavier_
from ofa.prune.initializers.calibrating import calibrate_layers_, gradient_ratios
from ofa.prune.initializers.directions import clustered, principal
from ofa.prune.initializers.layers import fans, layers, normal, rows, set_rows_
from ofa.prune.initializers.measuring import followed_by_norm, normalising, output_of, run
from ofa.prune.initializers.patches import patches
from ofa.prune.initializers.random_ import orthonormal
from tests.ofa import zoo


def users_own_(model: nn.Module, images: Tensor, generator: torch.Generator) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator, dtype=torch.float64))


INITIALIZERS: dict[str, Initializer] = {
    "kaiming": kaiming_,
    "kaiming_uniform": partial(kaiming_, mode="fan_out", distribution="uniform"),
    "xavier": xavier_,
    "xavier_uniform": partial(xavier_, distribution="uniform"),
    "orthogonal": orthogonal_,
    "lsuv": lsuv_,
    "random": data_dependent_,
    "pca": partial(data_dependent_, method="pca", vectors=200),
    "kmeans": partial(data_dependent_, method="kmeans", vectors=200),
    "users_own": users_own_,
}
SHAPE = (3, 8, 8)
MODELS: dict[str, Callable[[], nn.Module]] = {
    "lenet300": lambda: LeNet300(SHAPE, 5, hidden=(30, 10)),
    "lenet5": lambda: LeNet5(SHAPE, 5, hidden=(20, 12)),
    "lenet5_norm": lambda: LeNet5(SHAPE, 5, hidden=(20, 12), batch_norm=True),
    "resnet": lambda: ResNet(SHAPE, 5, depth=8, widths=(4, 6, 8)),
    "mobilenet": lambda: MobileNet(SHAPE, 5, stem_width=8, stages=[{"width": 8, "blocks": 2}], head_width=16),
    "unet": lambda: zoo.PLAIN["unet"](),
    "sequence": lambda: zoo.PLAIN["sequence"](),
    "shared": lambda: zoo.PLAIN["shared"](),
    "normed_mlp": lambda: zoo.PLAIN["normed_mlp"](),
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    size = 6 if name in zoo.PLAIN else 8
    return MODELS[name](), torch.rand(12, 3, size, size, generator=seeded(1))


@pytest.mark.parametrize("model_name", MODELS)
@pytest.mark.parametrize("name", INITIALIZERS)
def test_contract(name: str, model_name: str) -> None:
    """New finite weights in every layer, given by the generator alone, and nothing else touched."""
    initializer = INITIALIZERS[name]
    model, images = made(model_name)
    model.train()
    next(iter(model.children())).eval()
    modes = [module.training for module in model.modules()]
    first = {path: layer.weight.detach().clone() for path, layer in layers(model).items()}
    shapes = {key: tensor.shape for key, tensor in model.state_dict().items()}
    identities = [id(parameter) for parameter in model.parameters()]
    state = torch.get_rng_state()
    initializer(model, images, seeded(3))
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert [id(parameter) for parameter in model.parameters()] == identities
    assert {key: tensor.shape for key, tensor in model.state_dict().items()} == shapes
    assert all(bool(torch.isfinite(tensor).all()) for tensor in model.state_dict().values())
    for path, layer in layers(model).items():
        assert bool(layer.weight.any()) and not torch.equal(layer.weight, first[path]), path
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert not module.running_mean.any() and bool((module.running_var == 1).all())
            assert module.num_batches_tracked == 0
    again, _ = made(model_name)
    initializer(again, images, seeded(3))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    initializer(again, images, seeded(4))
    assert not all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert bool(torch.isfinite(again(images)).all())


@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_kaiming_and_xavier_have_their_variances(distribution: str) -> None:
    layers_ = [nn.Conv2d(8, 64, 3, groups=2), nn.Linear(200, 100), nn.ConvTranspose2d(8, 64, 3, groups=2)]
    for layer, (inputs, outputs) in zip(layers_, [(36, 288), (200, 100), (36, 288)], strict=True):
        assert fans(layer) == (inputs, outputs)
        expected = {
            partial(kaiming_, distribution=distribution): 2 / inputs,
            partial(kaiming_, distribution=distribution, mode="fan_out", gain=1.0): 1 / outputs,
            partial(xavier_, distribution=distribution): 2 / (inputs + outputs),
        }
        for initializer, variance in expected.items():
            initializer(layer, None, seeded())
            count = layer.weight.numel()
            assert layer.weight.var(correction=0).item() == pytest.approx(variance, rel=6 / math.sqrt(count))
            assert abs(layer.weight.mean().item()) < 5 * math.sqrt(variance / count)
            largest = layer.weight.abs().max().item() / math.sqrt(variance)
            assert (largest <= math.sqrt(3) + 1e-6) == (distribution == "uniform")
            assert not layer.bias.any()


@pytest.mark.parametrize("shape", [(4, 9), (9, 4), (5, 5)])
def test_orthonormal_rows_or_columns(shape: tuple[int, int]) -> None:
    matrix = orthonormal(torch.Size(shape), seeded())
    narrow = matrix if shape[0] <= shape[1] else matrix.T
    torch.testing.assert_close(narrow @ narrow.T, torch.eye(min(shape), dtype=torch.float64))
    layer = nn.Linear(shape[1], shape[0]).double()
    orthogonal_(layer, None, seeded(), gain=3.0)
    assert torch.linalg.svdvals(layer.weight).tolist() == pytest.approx([3.0] * min(shape))


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(3, 4), nn.Conv1d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.ConvTranspose1d(3, 5, 2)],
)
def test_a_row_is_one_output(layer: nn.Module) -> None:
    """Zeroing a row silences that output and no other."""
    inputs = torch.rand(2, layer.weight.shape[1 if isinstance(layer, nn.Linear) else 0], 5, 5)  # type: ignore[union-attr]
    inputs = {nn.Linear: torch.rand(2, 3), nn.Conv1d: torch.rand(2, 4, 7)}.get(type(layer), inputs)
    inputs = torch.rand(2, 3, 7) if isinstance(layer, nn.ConvTranspose1d) else inputs
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    matrix = rows(layer)  # type: ignore[arg-type]
    assert matrix.shape == (len(layer.bias), fans(layer)[0])  # type: ignore[arg-type]
    before = output_of(layer, inputs)  # type: ignore[arg-type]
    set_rows_(layer, matrix)  # type: ignore[arg-type]
    torch.testing.assert_close(output_of(layer, inputs), before)  # type: ignore[arg-type]
    matrix[1] = 0
    set_rows_(layer, matrix)  # type: ignore[arg-type]
    after = output_of(layer, inputs)  # type: ignore[arg-type]
    assert not after[1].any()
    others = [row for row in range(len(matrix)) if row != 1]
    torch.testing.assert_close(after[others], before[others])


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "unet"])
def test_lsuv_gives_every_layer_unit_variance(name: str) -> None:
    model, images = made(name)
    lsuv_(model.double(), images.double(), seeded())
    seen: dict[str, float] = {}
    with normalising(model), torch.no_grad():
        normed = followed_by_norm(model, images.double())
        run(model, images.double(), lambda path, layer, x: seen.update({path: output_of(layer, x).var(correction=0)}))
    assert normed == ({"down.0", "deep.0"} if name == "unet" else frozenset())
    for path, variance in seen.items():
        if path not in normed:
            assert float(variance) == pytest.approx(1, abs=1e-9), path
    for path in normed:
        matrix = rows(layers(model)[path])
        assert torch.linalg.svdvals(matrix).tolist() == pytest.approx([1.0] * min(matrix.shape))


@pytest.mark.parametrize("method", ["random", "pca", "kmeans"])
def test_every_neuron_starts_with_unit_deviation_and_the_mean_asked_for(method: str) -> None:
    model, images = made("lenet5")
    model, images = model.double(), images.double()
    data_dependent_(model, images, seeded(), method=method, calibrate=False, bias=0.25)
    seen: dict[str, Tensor] = {}
    with torch.no_grad():
        run(model, images, lambda path, layer, x: seen.update({path: output_of(layer, x)}))
    assert set(seen) == set(layers(model))
    for output in seen.values():
        torch.testing.assert_close(output.std(dim=1, correction=0), torch.ones(len(output), dtype=torch.float64))
        torch.testing.assert_close(output.mean(dim=1), torch.full((len(output),), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("name", ["lenet300", "lenet5", "lenet5_norm"])
def test_one_round_makes_all_layers_of_a_chain_learn_at_one_pace(name: str) -> None:
    """Where layers are homogeneous one round is exact, and the output stays; layers before a norm stay too."""
    model, images = made(name)
    model, images = model.double(), images.double()
    data_dependent_(model, images, seeded(), calibrate=False)
    before = {path: layer.weight.detach().clone() for path, layer in layers(model).items()}
    with normalising(model), torch.no_grad():
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
    found = principal(vectors @ basis, 4, generator)
    axes = nn.functional.normalize(found, dim=1) @ basis.T
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
    found = clustered(vectors, 4, generator)
    answers = (patterns - vectors.mean(dim=0)) @ nn.functional.normalize(found, dim=1).T
    assert len(set(answers.argmax(dim=1).tolist())) == 3
    assert clustered(torch.ones(10, 4, dtype=torch.float64), 3, generator).isfinite().all()


def test_a_constant_neuron_is_left_finite() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    for name in ("random", "pca", "kmeans", "lsuv"):
        INITIALIZERS[name](model, torch.ones(8, 4), seeded())
        assert all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


@pytest.mark.parametrize(
    ("initializer", "images", "message"),
    [
        (partial(data_dependent_, method="pcca"), torch.rand(4, 3, 8, 8), "did you mean pca"),
        (data_dependent_, None, "0 given"),
        (lsuv_, torch.rand(1, 3, 8, 8), "1 given"),
        (partial(kaiming_, mode="fan"), None, "mode='fan'"),
        (partial(xavier_, distribution="norml"), None, "did you mean normal"),
    ],
)
def test_wrong_settings_are_refused(initializer: Initializer, images: Tensor, message: str) -> None:
    model, _ = made("lenet5")
    with pytest.raises(InvalidInput, match=message):
        initializer(model, images, seeded())
