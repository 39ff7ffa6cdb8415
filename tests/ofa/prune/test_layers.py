import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.models import LeNet5, ResNet
from ofa.prune.layers import Layer, find_layers, undisturbed
from tests.ofa import zoo


def test_lenet_names_weights_biases_and_norms_in_the_order_they_run() -> None:
    layers = find_layers(LeNet5((1, 12, 12), 10, batch_norm=True), torch.randn(2, 1, 12, 12))
    assert layers == (
        Layer("conv1.weight", "conv1.bias", "norm1"),
        Layer("conv2.weight", "conv2.bias", "norm2"),
        Layer("linear1.weight", "linear1.bias"),
        Layer("linear2.weight", "linear2.bias"),
        Layer("classifier.weight", "classifier.bias"),
    )
    assert layers[0].module == "conv1"


def test_every_convolution_of_a_resnet_feeds_its_own_norm() -> None:
    model = ResNet((3, 8, 8), 10, depth=8, widths=(4, 8, 8))
    layers = {layer.weight: layer for layer in find_layers(model, torch.randn(1, 3, 8, 8))}
    assert layers["stem.conv.weight"].norm == "stem.norm"
    assert layers["stages.1.0.conv2.weight"].norm == "stages.1.0.norm2"
    assert layers["stages.1.0.shortcut.0.weight"].norm == "stages.1.0.shortcut.1"
    convolutions = [layer for name, layer in layers.items() if name != "classifier.weight"]
    assert len({layer.norm for layer in convolutions}) == len(convolutions)


class Between(nn.Module):
    """An activation stands between layer and norm; the second is made in place."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.inplace = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), inplace

    def forward(self, images: Tensor) -> Tensor:
        return self.norm(functional.relu(self.conv(images), inplace=self.inplace))


@pytest.mark.parametrize("inplace", [False, True])
def test_a_norm_behind_an_activation_is_not_fed_by_the_layer(inplace: bool) -> None:
    assert find_layers(Between(inplace), zoo.example()) == (Layer("conv.weight", "conv.bias"),)


def test_a_shared_weight_is_listed_once_and_a_layer_that_does_not_run_not_at_all() -> None:
    model = zoo.SharedBlock()
    model.unused = nn.Linear(2, 2)
    weights = [layer.weight for layer in find_layers(model, zoo.example())]
    assert weights == ["stem.weight", "twice.weight", "one.weight"]


class TwiceNormedOnce(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv(self.norm(self.conv(images)))


def test_a_layer_that_runs_twice_keeps_the_norm_of_its_first_run() -> None:
    assert find_layers(TwiceNormedOnce(), zoo.example()) == (Layer("conv.weight", "conv.bias", "norm"),)


@pytest.mark.parametrize("name", [*zoo.PLAIN, *zoo.AWKWARD])
def test_any_model_is_left_as_it_was(name: str) -> None:
    model = {**zoo.PLAIN, **zoo.AWKWARD}[name]().train()
    hooks = [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    names = {name for name, _ in model.named_parameters()}
    layers = find_layers(model, zoo.example())
    assert layers and all(layer.weight in names for layer in layers)
    assert hooks == [(len(module._forward_hooks), len(module._forward_pre_hooks)) for module in model.modules()]
    assert all(module.training for module in model.modules())
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, state[key])


class Restless(nn.Module):
    """Counts its calls and draws noise, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, values: Tensor) -> Tensor:
        self.calls += 1
        return self.linear(values) + torch.randn(2)


def test_undisturbed_puts_buffers_and_the_global_rng_back_also_after_an_error() -> None:
    model = Restless().train()
    outputs = []
    for seed in range(2):
        torch.manual_seed(seed)
        state = torch.random.get_rng_state()
        with pytest.raises(KeyError), undisturbed(model):
            assert not model.training and not model.linear.training
            outputs.append(model(torch.ones(2)).detach())
            raise KeyError
        assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(*outputs)
    assert model.calls == 0 and model.training and model.linear.training
