"""Taylor of whole channels: the change of the loss by a gate on the channel, and how its tensors come together."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ofa import InvalidInput
from ofa.models import ResNet
from ofa.prune import OneShot, Pruner
from ofa.prune.allocation import budget
from ofa.prune.criteria import magnitude, normalized, taylor
from ofa.prune.granularity import channel
from ofa.prune.granularity.pool import PieceScores
from ofa.randomize import randomize_
from tests.ofa.prune.contexts import labeled

SHAPE = (3, 8, 8)


class Gated(nn.Module):
    """A hidden layer whose channels may pass a gate before they are read."""

    def __init__(self) -> None:
        super().__init__()
        self.make, self.norm = nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.read, self.head = nn.Conv2d(6, 4, 3), nn.Linear(4, 5)

    def forward(self, images: Tensor, gate: Tensor | None = None) -> Tensor:
        hidden = self.norm(self.make(images)).relu()
        if gate is not None:
            hidden = hidden * gate[:, None, None]
        return self.head(self.read(hidden).relu().mean((2, 3)))


def pruner_of(model: nn.Module, **options: object) -> Pruner:
    options = {"criterion": taylor, "batches": lambda: labeled(SHAPE), **options}
    return Pruner(
        model, granularity=partial(channel, multiple_of=1), example_input=torch.zeros(2, *SHAPE).double(), **options
    )


def test_the_readers_of_a_channel_hold_the_change_by_its_gate() -> None:
    """What a channel's columns sum up to is the derivative by a factor of 1 on the channel."""
    model = randomize_(Gated().double()).eval()
    pruner = pruner_of(model)
    gate = torch.ones(6, dtype=torch.float64, requires_grad=True)
    by_gate = []
    for images, labels in labeled(SHAPE):
        loss = nn.functional.cross_entropy(model(images, gate), labels)
        by_gate.append(torch.autograd.grad(loss, gate)[0])
    scores = taylor(pruner.context(), over="max")
    norms = taylor(pruner.context(), gates=True)
    assert isinstance(scores, PieceScores) and isinstance(norms, PieceScores)
    # Scale and shift together are the same gate, the ReLU after them being homogeneous.
    torch.testing.assert_close(norms["make"], torch.stack(by_gate).square().mean(dim=0))
    assert bool((scores["make"] >= norms["make"] * (1 - 1e-9) / 4).all())


@pytest.mark.parametrize("over", ["joint", "mean", "sum", "max"])
def test_a_channels_score_is_made_of_each_tensors_own_sum(over: str) -> None:
    model = randomize_(Gated().double()).eval()
    pruner = pruner_of(model)
    found = taylor(pruner.context(), over=over)["make"]
    expected = torch.zeros(6, dtype=torch.float64)
    parameters = dict(model.named_parameters())
    for images, labels in labeled(SHAPE):
        loss = nn.functional.cross_entropy(model(images), labels)
        gradients = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        change = {name: (g * parameters[name]).detach() for name, g in gradients.items()}
        parts = torch.stack(
            [
                change["make.weight"].sum((1, 2, 3)),
                change["norm.weight"],
                change["norm.bias"],
                change["read.weight"].sum((0, 2, 3)),
            ]
        )
        squares = parts.square()
        score = {"joint": parts.sum(0).square(), "mean": squares.mean(0), "sum": squares.sum(0), "max": squares.amax(0)}
        expected += score[over] / 2
    torch.testing.assert_close(found, expected)


def test_smaller_gradients_are_those_of_fewer_examples() -> None:
    model = randomize_(Gated().double()).eval()
    single = [(images[i : i + 1], labels[i : i + 1]) for images, labels in labeled(SHAPE) for i in range(len(images))]
    one_by_one = taylor(pruner_of(model, batches=lambda: single).context())
    torch.testing.assert_close(taylor(pruner_of(model).context(), examples=1), one_by_one)
    weights = Pruner(model, criterion=taylor, batches=lambda: labeled(SHAPE)).context()
    assert set(taylor(weights, examples=2)) == set(weights.weights)


def test_no_layer_of_a_residual_network_ends_with_single_channels() -> None:
    """Scored weight by weight, layers with many weights a channel ended in widths of 1."""
    model = randomize_(ResNet(SHAPE, 5, depth=8, widths=(8, 16, 32)).double())
    pruner = pruner_of(
        model,
        criterion=normalized(partial(taylor, examples=2)),
        schedule=OneShot(0.5),
        allocation=partial(budget, metric="macs"),
    )
    kept = [int(alive.sum()) / len(alive) for alive in pruner.granularity.alive(pruner.masks)]  # type: ignore[attr-defined]
    assert min(kept) > 0.2 and max(kept) <= 1


def test_each_round_scores_anew_what_the_last_one_left() -> None:
    seen = []

    def counting(context: object) -> dict[str, Tensor]:
        seen.append(sum(int(mask.sum()) for mask in context.masks.values()))  # type: ignore[attr-defined]
        return magnitude(context)  # type: ignore[arg-type]

    model = randomize_(Gated().double())
    pruner = Pruner(model, criterion=counting)
    pruner.prune(0.75, rounds=2)
    whole = sum(weight.numel() for weight in pruner.weights.values())
    assert seen == [whole, whole - round(whole / 2)] and pruner.sparsity == pytest.approx(0.75, abs=1e-2)
    with pytest.raises(InvalidInput, match="rounds=0"):
        pruner.prune(0.8, rounds=0)


@pytest.mark.parametrize(("aggregate", "combine"), [("sum", Tensor.sum), ("mean", Tensor.mean), ("max", Tensor.amax)])
def test_scores_of_weights_come_together_as_asked(aggregate: str, combine: object) -> None:
    model = randomize_(Gated().double())
    pruner = Pruner(
        model,
        granularity=partial(channel, multiple_of=1, aggregate=aggregate),
        example_input=torch.zeros(2, *SHAPE).double(),
    )
    found = pruner.granularity.gather(magnitude(pruner.context()), pruner.masks)[0]
    rows = model.make.weight.detach().abs().mean((1, 2, 3))
    columns = model.read.weight.detach().abs().mean((0, 2, 3))
    torch.testing.assert_close(found, combine(torch.stack([rows, columns]), dim=0))  # type: ignore[operator]


def test_unknown_options_are_said() -> None:
    model = randomize_(Gated().double())
    with pytest.raises(InvalidInput, match=r"over='jiont'.*joint"):
        taylor(pruner_of(model).context(), over="jiont")
    with pytest.raises(InvalidInput, match="examples=0"):
        taylor(pruner_of(model).context(), examples=0)
    with pytest.raises(InvalidInput, match="aggregate='median'"):
        Pruner(model, granularity=partial(channel, aggregate="median"), example_input=torch.zeros(2, *SHAPE).double())
