"""Every pair of parts of a pruner: it works and keeps its pattern, or it is refused when the pruner is made."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.prune import Cubic, Linear, OneShot, Pruner, criteria
from ofa.prune.allocation import budget, per_layer
from ofa.prune.granularity import ChannelGranularity, n_of_m
from tests.ofa.prune.pairs_of_parts import ALLOCATIONS, CRITERIA, GRANULARITIES, REGROWTHS, REGULARIZERS, STEPS, refusal
from tests.ofa.prune.patterns import keeps_pattern


class Net(nn.Module):
    """A convolution with a norm and two linear layers, of sizes that 4 divides and 3 does not."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(4, 8, 2, bias=False), nn.BatchNorm2d(8)
        self.second, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

    def forward(self, images: Tensor) -> Tensor:
        features = functional.relu(self.norm(self.first(images))).mean(dim=(2, 3))
        return self.last(functional.relu(self.second(features)))


torch.manual_seed(0)
IMAGES, LABELS = torch.randn(8, 4, 3, 3), torch.arange(8) % 4
NET = Net()
START = {name: tensor.clone() for name, tensor in NET.state_dict().items()}
_MADE: dict[str, Any] = {}


def granularity_of(name: str) -> Callable[..., Any]:
    """Channels are found once: that takes longer than all the rest."""

    def make(model: nn.Module, weights: Any, example: Tensor | None) -> Any:
        if name not in _MADE:
            _MADE[name] = GRANULARITIES[name](model, weights, example)
        return _MADE[name]

    return make


def train(net: nn.Module, pruner: Pruner, steps: int) -> None:
    assert pruner.optimizer is not None
    for _ in range(steps):
        pruner.optimizer.zero_grad()
        (functional.cross_entropy(net(IMAGES), LABELS) + pruner.penalty()).backward()
        pruner.optimizer.step()
        pruner.step()


def check_pattern(pruner: Pruner, granularity: str) -> None:
    parameters = dict(pruner.model.named_parameters())
    for name, mask in pruner.masks.items():
        assert not bool(parameters[name][~mask].any())
        if granularity == "two_to_four":
            assert keeps_pattern(mask, 2, 4), name
        if granularity == "block":
            tiles = [tile for rows in mask.flatten(1).split(3) for tile in rows.split(2, dim=1)]
            assert all(bool(tile.all()) or not bool(tile.any()) for tile in tiles), name
    if isinstance(pruner.granularity, ChannelGranularity):
        whole = pruner.granularity.spread(pruner.granularity.alive(pruner.masks))
        assert all(torch.equal(pruner.masks[name], mask) for name, mask in whole.items())


def table(granularity: str) -> list[tuple[str, str, str, str]]:
    """Every other pair of a criterion and an allocation; in the rows of all granularities, each pair of parts comes."""
    column = list(GRANULARITIES).index(granularity)
    rows = []
    for i, j in itertools.product(range(len(CRITERIA)), range(len(ALLOCATIONS))):
        if (i + j + column) % 2 == 0:
            regrowth = list(REGROWTHS)[(j + 2 * column + i // 2) % len(REGROWTHS)]
            regularizer = list(REGULARIZERS)[(7 * i + 6 * column + 3 * (j // 2) + 8 * (i // 3)) % len(REGULARIZERS)]
            rows.append((regrowth, list(CRITERIA)[i], list(ALLOCATIONS)[j], regularizer))
    return rows


def test_the_table_holds_every_pair() -> None:
    rows = [(granularity, *row) for granularity in GRANULARITIES for row in table(granularity)]
    parts = [GRANULARITIES, REGROWTHS, CRITERIA, ALLOCATIONS, REGULARIZERS]
    for a, b in itertools.combinations(range(len(parts)), 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(parts[a], parts[b]))
    others = {"Movement", "Normalized", "qualities", "sensitivity_scan"}
    assert set(criteria.__all__) - others <= set(CRITERIA)


@pytest.mark.parametrize("granularity", GRANULARITIES)
def test_each_pair_keeps_its_pattern_or_is_refused(granularity: str) -> None:
    swaps: list[bool] = []
    for regrowth, criterion, allocation, regularizer in table(granularity):
        row = (granularity, regrowth, criterion, allocation, regularizer)
        NET.load_state_dict(START)
        optimizer = torch.optim.SGD(NET.parameters(), lr=0.05, momentum=0.9)

        def make(row: tuple[str, ...] = row, optimizer: torch.optim.Optimizer = optimizer) -> Pruner:
            return Pruner(
                NET,
                optimizer,
                schedule=Linear(0.5, begin=0, end=4, every=2),
                criterion=CRITERIA[row[2]],
                allocation=ALLOCATIONS[row[3]],
                granularity=granularity_of(row[0]),
                regrowth=REGROWTHS[row[1]],
                regularizers=REGULARIZERS[row[4]],
                example_input=IMAGES[:2],
                batches=lambda: [(IMAGES, LABELS)],
            )

        why = refusal(granularity, regrowth, criterion, allocation)
        if why is not None:
            with pytest.raises(InvalidInput, match=why):
                make()
            continue
        pruner = make()
        train(NET, pruner, 4)
        check_pattern(pruner, granularity)
        before = {name: mask.clone() for name, mask in pruner.masks.items()}
        train(NET, pruner, STEPS - 4)
        check_pattern(pruner, granularity)
        swapped = any(not torch.equal(mask, before[name]) for name, mask in pruner.masks.items())
        assert not (swapped and regrowth == "none"), row
        swaps.append(swapped or regrowth == "none")
        if granularity in ("weight", "two_to_four"):
            assert {name: int(mask.sum()) for name, mask in before.items()} == {
                name: int(mask.sum()) for name, mask in pruner.masks.items()
            }, row
        pruner.finalize()
    assert sum(swaps) > 0.9 * len(swaps)  # but where a layer keeps so little that the share rounds to nothing


@pytest.mark.parametrize("regrowth", ["set", "rigl"])
@pytest.mark.parametrize("granularity", ["two_to_four", "block"])
def test_a_real_model_keeps_its_pattern_under_regrowth(granularity: str, regrowth: str) -> None:
    torch.manual_seed(0)
    net = ResNet((4, 8, 8), 4, depth=8, widths=(8, 8, 16))
    images = torch.randn(8, 4, 8, 8)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    schedule = OneShot(0.5) if granularity == "two_to_four" else Cubic(0.5, begin=0, end=4, every=2)
    pruner = Pruner(
        net, optimizer, granularity=GRANULARITIES[granularity], regrowth=REGROWTHS[regrowth], schedule=schedule
    )
    for step in range(STEPS):
        optimizer.zero_grad()
        functional.cross_entropy(net(images), LABELS).backward()
        optimizer.step()
        masks = {name: mask.clone() for name, mask in pruner.masks.items()}
        pruner.step()
        swapped = any(not torch.equal(masks[name], mask) for name, mask in pruner.masks.items())
        check_pattern(pruner, granularity)
        assert swapped or step < 4 or step == STEPS - 1
    assert pruner.density == pytest.approx(0.5, abs=0.01)


def test_frozen_layers_are_not_regrown() -> None:
    NET.load_state_dict(START)
    optimizer = torch.optim.SGD([*NET.first.parameters(), *NET.second.parameters()], lr=0.1)
    pruner = Pruner(NET, optimizer, schedule=OneShot(0.5), regrowth=REGROWTHS["rigl"])
    NET.second.weight.requires_grad_(False)
    before = {name: mask.clone() for name, mask in pruner.masks.items()}
    try:
        train(NET, pruner, 3)
    finally:
        NET.second.weight.requires_grad_(True)
        pruner.finalize()
    changed = {name for name, mask in pruner.masks.items() if not torch.equal(mask, before[name])}
    assert changed == {"first.weight"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"granularity": n_of_m, "schedule": OneShot(0.4)}, "aim at a sparsity of 0.5 or more"),
        ({"granularity": n_of_m, "allocation": partial(per_layer, sparsities={"last": 0.1})}, "pattern of last.weight"),
        ({"allocation": partial(per_layer, sparsities={"lst": 0.1})}, "'lst' names nothing"),
        ({"allocation": budget}, "metric='macs' is not known"),
        ({"allocation": partial(budget, metric="params", limit=1.0)}, "params=1 cannot be reached"),
        ({"criterion": criteria.taylor}, "taylor measures on data: give the pruner batches="),
        ({"criterion": criteria.normalized(criteria.apoz)}, "apoz measures on data"),
        ({"criterion": criteria.synflow}, "synflow measures on data"),
    ],
)
def test_what_would_fail_at_a_later_event_is_refused_at_once(changes: dict[str, Any], words: str) -> None:
    NET.load_state_dict(START)
    with pytest.raises(InvalidInput, match=words):
        Pruner(NET, **{"schedule": Linear(0.6, begin=10, end=40, every=10), **changes})


def test_what_needs_no_batches_is_given_none() -> None:
    NET.load_state_dict(START)
    measured = partial(criteria.synflow, input_shape=(4, 3, 3))
    pruner = Pruner(NET, criterion=measured, schedule=Linear(0.6, begin=0, end=2, every=1))
    pruner.step()
    assert pruner.sparsity == pytest.approx(0.3, abs=0.01)
    pruner.finalize()
