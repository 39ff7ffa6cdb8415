"""Criteria of channels: norm_scale, apoz, activation."""

import pytest
import torch
from torch import Tensor, nn

from ofa import InvalidInput
from ofa.models import LeNet300
from ofa.prune import criteria
from ofa.prune.layers import Layer
from tests.ofa import zoo
from tests.ofa.prune.contexts import context_of, labeled, model_context


def test_norm_scale_reads_the_scale_of_the_norm_that_follows() -> None:
    context = model_context("lenet5")
    scores = criteria.norm_scale(context)
    net = context.model
    assert torch.equal(scores["conv1.weight"], net.norm1.weight.detach().abs())
    assert torch.equal(scores["conv2.weight"], net.norm2.weight.detach().abs())
    # The others compete as if with a scale of the common size, by the norms of their rows.
    common = torch.cat([net.norm1.weight, net.norm2.weight]).detach().abs().mean()
    sizes = net.linear1.weight.detach().norm(dim=1)
    assert float(scores["linear1.weight"].mean()) == pytest.approx(float(common))
    assert torch.equal(scores["linear1.weight"].argsort(), sizes.argsort())


def test_norm_scale_takes_layers_by_hand_and_then_needs_no_data() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([0.5, -2.0, 0.0, 1.0]))
    scores = criteria.norm_scale(context_of(model), layers=[Layer("0.weight", "0.bias", "1")])
    assert scores["0.weight"].tolist() == [0.5, 2.0, 0.0, 1.0]


def test_norm_scale_of_a_model_without_norms_is_refused() -> None:
    model = LeNet300((3, 12, 12), 5, hidden=(6, 5)).double()
    with pytest.raises(InvalidInput, match="feeds a norm with a scale"):
        criteria.norm_scale(context_of(model, labeled()))


def test_a_transposed_convolutions_scale_lies_on_its_outputs() -> None:
    model = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, groups=2), nn.BatchNorm2d(6)).double()
    with torch.no_grad():
        model[1].weight.copy_(torch.arange(6))
    scores = criteria.norm_scale(context_of(model, labeled((4, 3, 3))))["0.weight"]
    assert scores.shape == model[0].weight.shape
    assert scores[:2, :, 0, 0].tolist() == [[0, 1, 2]] * 2 and scores[2:, :, 2, 1].tolist() == [[3, 4, 5]] * 2


def by_hand(context: object, images: Tensor) -> dict[str, Tensor]:
    """What LeNet5 puts into each ReLU, computed anew, (channels, values)."""
    net = context.model.eval()
    with torch.no_grad():
        first = net.norm1(net.conv1(images))
        second = net.norm2(net.conv2(torch.max_pool2d(first.relu(), 2)))
        third = net.linear1(torch.max_pool2d(second.relu(), 2).flatten(1))
    return {
        "conv1.weight": first.movedim(1, 0).flatten(1),
        "conv2.weight": second.movedim(1, 0).flatten(1),
        "linear1.weight": third.t(),
    }


def test_apoz_and_activation_measure_what_goes_into_the_relu_over_all_images() -> None:
    context = model_context("lenet5")
    apoz, activation = criteria.apoz(context), criteria.activation(context)
    for name, values in by_hand(context, torch.cat([images for images, _ in labeled()])).items():
        torch.testing.assert_close(apoz[name], (values > 0).double().mean(dim=1))
        torch.testing.assert_close(activation[name], values.abs().mean(dim=1))
        assert 0 <= float(apoz[name].min()) and float(apoz[name].max()) <= 1


def test_a_dead_channel_is_worst_for_both() -> None:
    context = model_context("resnet8")
    norm = context.model.get_submodule("stages.1.0.norm1")
    with torch.no_grad():
        norm.weight[3], norm.bias[3] = 0, 0
    for criterion in (criteria.apoz, criteria.activation):
        scores = criterion(context)["stages.1.0.conv1.weight"]
        assert float(scores[3]) == 0 and bool((torch.cat([scores[:3], scores[4:]]) > 0).all())


@pytest.mark.parametrize("name", ["sequence", "normed_mlp", "unet", "shuffle", "dense"])
def test_channels_of_other_peoples_models_are_found_along_the_right_dimension(name: str) -> None:
    model = zoo.PLAIN[name]().double()
    context = context_of(model, [(zoo.example().double(), torch.zeros(2, dtype=torch.int64))])
    scores = criteria.activation(context)
    for path, weight in context.weights.items():
        transposed = isinstance(model.get_submodule(path.rpartition(".")[0]), nn.ConvTranspose2d)
        assert scores[path].shape == (weight.shape if transposed else weight.shape[:1])


def test_a_weight_that_makes_no_output_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)).double()
    model[0].register_module("unused", nn.Linear(3, 3).double())
    with pytest.raises(InvalidInput, match=r"'0\.unused\.weight' ran"):
        criteria.apoz(context_of(model, labeled((3,))))
