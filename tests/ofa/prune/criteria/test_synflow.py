"""SynFlow: conservation from layer to layer, and the flow by hand."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from ofa import InvalidInput
from ofa.models import LeNet5, LeNet300
from ofa.prune.criteria import synflow
from ofa.randomize import randomize_
from tests.ofa import zoo
from tests.ofa.prune.contexts import context_of, labeled, model_context

CHAINS = {
    "lenet300": lambda: LeNet300((3, 12, 12), 5, hidden=(9, 7)),
    "lenet5": lambda: LeNet5((3, 12, 12), 5, channels=(4, 6), hidden=(8, 7)),
    "batch_norm": lambda: LeNet5((3, 12, 12), 5, channels=(4, 6), hidden=(8, 7), batch_norm=True),
}


@pytest.mark.parametrize("name", CHAINS)
def test_the_flow_through_every_layer_is_the_sum_of_the_outputs(name: str) -> None:
    model = randomize_(CHAINS[name]())  # biases, scales, running means and variances of any value
    masks = {"classifier.weight": torch.rand(5, 7, generator=torch.Generator().manual_seed(0)) > 0.5}
    scores = synflow(context_of(model, masks=masks), input_shape=(3, 12, 12))
    flows = [float(score.sum()) for score in scores.values()]
    assert flows == pytest.approx([flows[0]] * len(flows), rel=1e-9) and flows[0] > 0
    assert not bool(scores["classifier.weight"][~masks["classifier.weight"]].any())


def test_the_flow_into_a_neuron_is_the_flow_out_of_it() -> None:
    scores = list(synflow(context_of(randomize_(CHAINS["lenet300"]())), input_shape=(3, 12, 12)).values())
    for before, after in pairwise(scores):
        torch.testing.assert_close(before.sum(dim=1), after.sum(dim=0))


def test_by_hand() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        model[2].weight.copy_(torch.tensor([[-5.0, 0.5]]))
    scores = synflow(context_of(model), input_shape=(2,))
    assert scores["0.weight"].tolist() == [[5.0, 10.0], [1.5, 0.0]]
    assert scores["2.weight"].tolist() == [[15.0, 1.5]]
    assert scores["0.weight"].dtype == torch.float64


def test_the_values_of_the_images_do_not_matter_only_their_shape() -> None:
    context = model_context("resnet8")
    shaped = synflow(context, input_shape=(3, 12, 12))
    measured = synflow(context)
    assert all(torch.equal(shaped[name], measured[name]) for name in shaped)
    assert all(float(score.min()) >= 0 and float(score.max()) > 0 for score in measured.values())


def test_around_a_residual_block_flow_is_conserved_over_both_paths() -> None:
    scores = synflow(model_context("resnet8"))
    stem, last = float(scores["stem.conv.weight"].sum()), float(scores["classifier.weight"].sum())
    both = float(scores["stages.1.0.conv2.weight"].sum() + scores["stages.1.0.shortcut.0.weight"].sum())
    assert stem == pytest.approx(last, rel=1e-9) == pytest.approx(both, rel=1e-9)


class Normed(nn.Module):
    def __init__(self, norm: nn.Module, channels_last: bool) -> None:
        super().__init__()
        self.first, self.norm, self.last, self.channels_last = (
            nn.Conv2d(3, 4, 1),
            norm,
            nn.Conv2d(4, 5, 1),
            channels_last,
        )

    def forward(self, images: Tensor) -> Tensor:
        maps = self.first(images)
        maps = self.norm(maps.movedim(1, -1)).movedim(-1, 1) if self.channels_last else self.norm(maps)
        return self.last(torch.relu(maps)).mean((2, 3))


@pytest.mark.parametrize(
    "norm",
    [
        nn.GroupNorm(2, 4),
        nn.InstanceNorm2d(4, affine=True),
        nn.InstanceNorm2d(4),
        nn.LayerNorm(4),
        nn.RMSNorm(4),
        nn.BatchNorm2d(4, track_running_stats=False),
    ],
    ids=lambda norm: type(norm).__name__,
)
def test_norms_that_measure_their_input_only_scale(norm: nn.Module) -> None:
    model = randomize_(Normed(norm, isinstance(norm, (nn.LayerNorm, nn.RMSNorm))))
    scores = synflow(context_of(model), input_shape=(3, 4, 4))
    scale = torch.ones(4) if norm.weight is None else norm.weight.detach().abs()
    flow = (
        model.last.weight.detach().abs().sum(0).reshape(-1) * scale * model.first.weight.detach().abs().sum((1, 2, 3))
    ).sum()
    assert float(scores["first.weight"].sum()) == pytest.approx(float(flow), rel=1e-5)
    assert float(scores["last.weight"].sum()) == pytest.approx(float(flow), rel=1e-5)


def test_weights_that_several_modules_share_get_the_flow_of_all() -> None:
    model = zoo.PLAIN["shared"]()
    scores = synflow(context_of(model), input_shape=(3, 6, 6))
    assert set(scores) >= {"body.one.weight", "body.twice.weight"}
    whole = float(scores["head.weight"].sum())
    assert float(scores["body.one.weight"].sum()) == pytest.approx(2 * whole, rel=1e-9)


def test_a_flow_that_does_not_fit_is_refused_and_a_deep_network_does_fit() -> None:
    deep = nn.Sequential(*(nn.Linear(50, 50) for _ in range(100)))
    scores = synflow(context_of(deep), input_shape=(50,))
    assert math.isfinite(float(scores["0.weight"].sum())) and float(scores["0.weight"].min()) > 0
    with torch.no_grad():
        for parameter in deep.parameters():
            parameter.fill_(1e9)
    with pytest.raises(InvalidInput, match="beyond what float64 holds"):
        synflow(context_of(deep, labeled((50,))))
