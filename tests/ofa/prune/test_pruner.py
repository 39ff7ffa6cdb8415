"""The pruner in a loop that is not ours: exact density, gradients, optimizers, resume."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.prune import Constant, Cubic, OneShot, Pruner
from ofa.prune.allocation import erk, per_layer
from ofa.prune.criteria import Movement, magnitude, probabilistic, random_
from ofa.prune.granularity import channel
from ofa.prune.regrowth import SET, RigL
from ofa.prune.regularizers import L2, GroupLasso
from tests.ofa.prune.pruned_training import OPTIMIZERS, SHAPE, batches, net, train


def kept(model: nn.Module) -> int:
    return sum(int((p != 0).sum()) for p in model.parameters() if p.dim() > 1)


@pytest.mark.parametrize(("kind", "steps"), [("sgd", 1000), ("adamw", 200), ("rmsprop", 200)])
def test_density_is_exact_after_many_more_steps(kind: str, steps: int) -> None:
    model = net()
    optimizer = OPTIMIZERS[kind](model.parameters())
    pruner = Pruner(model, optimizer, schedule=Cubic(0.9, begin=5, end=45, every=10))
    train(model, optimizer, pruner, 45 + steps)
    total = sum(p.numel() for p in model.parameters() if p.dim() > 1)
    assert kept(model) == total - round(0.9 * total)
    assert pruner.density == kept(model) / total


def test_an_optimizer_made_before_pruning_moves_every_live_weight() -> None:
    model = net()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    pruner = Pruner(model, optimizer, schedule=OneShot(0.8), allocation=per_layer)
    before = copy.deepcopy(model)
    train(model, optimizer, pruner, 3)
    then_by_name = dict(before.named_parameters())
    for name, mask in pruner.masks.items():
        now, then = model.get_parameter(name), then_by_name[name]
        moved = (now != then) & mask
        assert int(moved.sum()) == int(mask.sum()), name
        assert bool((now[~mask] == 0).all())


def test_gradients_are_masked_before_they_are_clipped() -> None:
    model = net()
    pruner = Pruner(model, schedule=OneShot(0.5))
    images, labels = next(batches(1))
    functional.cross_entropy(model(images), labels).backward()
    for name, mask in pruner.masks.items():
        gradient = model.get_parameter(name).grad
        assert gradient is not None and bool((gradient[~mask] == 0).all()) and bool((gradient[mask] != 0).any())
    total = nn.utils.clip_grad_norm_(model.parameters(), 1e9)
    live = sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None) ** 0.5
    assert float(total) == pytest.approx(live)


def test_momentum_of_what_is_removed_is_zero() -> None:
    model = net()
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    pruner = Pruner(model, optimizer)
    train(model, optimizer, pruner, 3)
    pruner.prune(0.7)
    for name, mask in pruner.masks.items():
        momentum = optimizer.state[model.get_parameter(name)]["momentum_buffer"]
        assert bool((momentum[~mask] == 0).all()) and bool((momentum[mask] != 0).any())


MIXES: dict[str, dict[str, Any]] = {
    "cubic": {"schedule": Cubic(0.8, begin=0, end=20, every=4)},
    "movement": {"schedule": Cubic(0.8, begin=2, end=20, every=4), "criterion": Movement()},
    "gumbel": {"schedule": Cubic(0.8, begin=2, end=20, every=4), "criterion": partial(probabilistic, temperature=0.5)},
    "rigl": {
        "schedule": Constant(0.8),
        "criterion": random_,
        "allocation": erk,
        "regrowth": RigL(alpha=0.3, every=3, until=24),
    },
    "set": {
        "schedule": Constant(0.8),
        "criterion": random_,
        "regrowth": SET(fraction_=0.3, every=4, until=24),
    },
    "group lasso": {"schedule": Cubic(0.5, begin=0, end=20, every=4), "regularizers": [GroupLasso(1e-2), L2(1e-3)]},
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("stop", [9, 12])
def test_resume_in_the_middle_gives_the_same_bits(mix: str, stop: int) -> None:
    def start() -> tuple[nn.Module, torch.optim.Optimizer, Pruner]:
        model = net()
        optimizer = OPTIMIZERS["adamw"](model.parameters())
        return model, optimizer, Pruner(model, optimizer, **MIXES[mix], seed=3)

    model, optimizer, pruner = start()
    train(model, optimizer, pruner, 30)
    whole = {name: value.clone() for name, value in model.state_dict().items()}

    model, optimizer, pruner = start()
    data = list(batches(30))

    def steps(chosen: list[tuple[Tensor, Tensor]]) -> None:
        for images, labels in chosen:
            optimizer.zero_grad()
            (functional.cross_entropy(model(images), labels) + pruner.penalty()).backward()
            optimizer.step()
            pruner.step()

    steps(data[:stop])
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), pruner.state_dict()))
    model, optimizer, pruner = start()
    model.load_state_dict(saved[0])
    optimizer.load_state_dict(saved[1])
    pruner.load_state_dict(saved[2])
    steps(data[stop:])
    assert all(torch.equal(whole[name], value) for name, value in model.state_dict().items())
    assert pruner.steps == 30


def test_a_state_given_on_construction_leaves_loaded_weights_alone() -> None:
    model = net()
    pruner = Pruner(model, schedule=OneShot(0.9), seed=1, criterion=random_)
    state, weights = pruner.state_dict(), copy.deepcopy(model.state_dict())
    other = net(5)
    other.load_state_dict(weights)
    again = Pruner(other, schedule=OneShot(0.9), seed=2, criterion=random_, state=state)
    assert all(torch.equal(weights[name], value) for name, value in other.state_dict().items())
    assert all(torch.equal(mask, again.masks[name]) for name, mask in pruner.masks.items())


def test_nothing_is_left_in_a_finalized_model() -> None:
    model = net()
    keys = list(model.state_dict())
    pruner = Pruner(model, schedule=OneShot(0.5))
    plain = pruner.finalize()
    assert plain is model and list(plain.state_dict()) == keys
    assert all(not parameter._post_accumulate_grad_hooks for parameter in plain.parameters())
    images, labels = next(batches(1))
    functional.cross_entropy(plain(images), labels).backward()
    gradient = plain.get_parameter("hidden.0.weight").grad
    assert gradient is not None and bool((gradient[~pruner.masks["hidden.0.weight"]] != 0).any())


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(InvalidInput, match=r"hidden.0"):
        Pruner(net(), keep=["hiden.0"])
    with pytest.raises(InvalidInput, match="nothing to prune"):
        Pruner(net().requires_grad_(False))
    with pytest.raises(InvalidInput, match="example_input"):
        Pruner(net(), granularity=channel)
    with pytest.raises(InvalidInput, match=r"sparsity=1.2"):
        Pruner(net()).prune(1.2)
    with pytest.raises(InvalidInput, match="infinite"):
        Pruner(net(), schedule=OneShot(0.5), criterion=lambda c: {k: w * float("nan") for k, w in c.weights.items()})
    with pytest.raises(InvalidInput, match="no scores for"):
        Pruner(net(), schedule=OneShot(0.5), criterion=lambda context: {})
    with pytest.raises(InvalidInput, match="no mask on"):
        Pruner(net()).set_masks({"hidden.7.weight": torch.ones(1, dtype=torch.bool)})
    with pytest.raises(InvalidInput, match="lacks"):
        Pruner(net()).load_state_dict({"steps": 1})


def test_kept_layers_stay_whole_and_the_report_counts() -> None:
    model = net()
    pruner = Pruner(model, schedule=OneShot(0.9), keep=["classifier"], example_input=torch.zeros(1, *SHAPE))
    report = pruner.report()
    assert "classifier.weight" not in pruner.masks
    assert report.kept == sum(int(mask.sum()) for mask in pruner.masks.values())
    assert report.macs == report.kept + model.classifier.weight.numel()  # of the layer that stays whole, all
    assert report.density == pruner.density
    row = next(row for row in report.rows if row.name == "hidden.0.weight")
    assert row.bytes == min(4 * row.weights, 4 * row.kept + -(-row.weights // 8))
    assert "hidden.0.weight" in str(report) and "total" in str(report)


def test_convolution_macs_count_positions() -> None:
    model = ResNet((3, 8, 8), 4, depth=8)
    report = Pruner(model, example_input=torch.zeros(1, 3, 8, 8)).report()
    stem = report.rows[0]
    assert stem.macs == stem.weights * 64
    assert report.macs == sum(row.weights * (row.macs or 0) // row.weights for row in report.rows)


def test_magnitude_is_what_is_pruned_by_default() -> None:
    model = net()
    weights = torch.cat([p.detach().abs().flatten() for p in model.parameters() if p.dim() > 1])
    pruner = Pruner(model, schedule=OneShot(0.6), criterion=magnitude)
    threshold = weights.kthvalue(round(0.6 * len(weights))).values
    assert all(bool((model.get_parameter(n).detach().abs()[m] > threshold).all()) for n, m in pruner.masks.items())
