import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.initializers import Initializer, data_dependent_, kaiming_, lsuv_, orthogonal_, xavier_
from ofa.prune.initializers.layers import fans, layers, rows, set_rows_
from ofa.prune.initializers.measuring import followed_by_norm, normalizing, output_of, run
from ofa.prune.initializers.random_ import orthonormal
from tests.ofa.prune.initialized_models import INITIALIZERS, MODELS, made, seeded


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
    with normalizing(model), torch.no_grad():
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
