"""Single connections that are learned, beside magnitude, after as many epochs: LeNet-300-100 on the digits."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread, paired
from ofa._evaluate import evaluate
from ofa.data import Dataset, batches, digits
from ofa.models import LeNet300
from ofa.prune import Cubic, OneShot, Pruner, resolved
from ofa.prune.criteria import Movement, magnitude, snip
from ofa.prune.learned import HardConcrete, StraightThrough, learn_connection_policy, learn_connections
from ofa.task import as_batch, classification
from ofa.train import TrainSettings, train_network

DENSE_EPOCHS, EPOCHS, BATCH_SIZE, RATE = 10, 16, 32, 2e-3
SPARSITY = 0.97
CONTROL = "magnitude, gradual"
METHODS = (
    *("dense", "dense, trained on", CONTROL, "magnitude, at once", "movement"),
    *("straight-through scores", "hard concrete (L0)", "policy (REINFORCE)"),
)


def run(seeds: range, cells: Cells) -> None:
    """Measures every method from each seed's dense network; each has 16 epochs after it."""
    data = digits()
    for seed in seeds:
        dense = _dense(data, seed)
        for method in METHODS:
            cells.run(partial(_measure, method, dense, data, seed), method=method, sparsity=SPARSITY, seed=seed)


def _settings(epochs: int, seed: int) -> TrainSettings:
    optimizer = partial(torch.optim.AdamW, lr=RATE, weight_decay=1e-4, fused=True)
    return TrainSettings(optimizer=optimizer, epochs=epochs, batch_size=BATCH_SIZE, seed=seed, validate_every=0)


def _dense(data: Dataset, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = LeNet300(data.input_shape, data.num_classes)
    train_network(net, data, _settings(DENSE_EPOCHS, seed))
    return net


def _measure(method: str, dense: nn.Module, data: Dataset, seed: int) -> dict[str, Any]:
    net = copy.deepcopy(dense)
    if method == "dense, trained on":
        train_network(net, data, _settings(EPOCHS, seed + 1000))
    elif method == CONTROL:
        _pruned(net, data, seed, schedule=Cubic(SPARSITY, begin=0.0, end=0.7, every=0.02), criterion=magnitude)
    elif method == "magnitude, at once":
        _pruned(net, data, seed, schedule=OneShot(SPARSITY, at=0), criterion=magnitude)
    elif method == "movement":
        _pruned(net, data, seed, schedule=Cubic(SPARSITY, begin=0.0, end=0.7, every=0.02), criterion=Movement())
    elif method != "dense":
        _under(net, data, seed, *_learned(method, net, data, seed))
    kept = sum(int(p.count_nonzero()) for p in net.parameters() if p.dim() > 1)
    total = sum(p.numel() for p in net.parameters() if p.dim() > 1)
    accuracy = evaluate(net, data.test.images, data.test.labels)
    return {"error": round(100 * (1 - accuracy), 2), "density": kept / total}


def _pruned(net: nn.Module, data: Dataset, seed: int, *, schedule: Any, criterion: Any) -> None:
    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int, scoring: Any) -> Pruner:
        timed = resolved(schedule, steps)
        return Pruner(model, optimizer, schedule=timed, criterion=criterion, batches=scoring, seed=seed)

    train_network(net, data, _settings(EPOCHS, seed + 1000), prune=prune)


def _learned(method: str, net: nn.Module, data: Dataset, seed: int) -> tuple[Mapping[str, Tensor], int]:
    """Masks, and the epochs that are left for the training under them: half where gates were trained, else all."""
    if method == "policy (REINFORCE)":
        scored = [data.train.take(torch.arange(320))]
        saliency = snip(Pruner(net, batches=lambda: scored).context())
        validation = data.validation.take(torch.arange(len(data.validation)))
        judge = partial(_accuracy, validation=validation)
        found = learn_connection_policy(net, judge, 1 - SPARSITY, saliency=saliency, seed=seed)
        return found.masks, EPOCHS
    gates = StraightThrough() if method == "straight-through scores" else HardConcrete()
    optimizer = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-4)
    steps = EPOCHS // 2 * (len(data.train) // BATCH_SIZE)
    task = classification(data)
    found = learn_connections(
        net, _endless(data, seed), gates, 1 - SPARSITY, task=task, optimizer=optimizer, steps=steps, seed=seed
    )
    return found.masks, EPOCHS // 2


def _accuracy(net: nn.Module, validation: tuple[Tensor, Tensor]) -> float:
    return evaluate(net, *validation)


def _endless(data: Dataset, seed: int) -> Iterator[Any]:
    for epoch in count():
        yield from map(as_batch, batches(data.train, BATCH_SIZE, seed=seed + 1000, epoch=epoch))


def _under(net: nn.Module, data: Dataset, seed: int, masks: Mapping[str, Tensor], epochs: int) -> None:
    """Trains under masks."""

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, *_: Any) -> Pruner:
        pruner = Pruner(model, optimizer, seed=seed)
        pruner.set_masks(masks)
        return pruner

    train_network(net, data, _settings(epochs, seed + 2000), prune=prune)


def table(cells: Cells) -> str:
    """Returns the table."""
    rows = cells.rows()
    lines = []
    for method in METHODS:
        errors = column(rows, "error", method=method)
        if errors:
            density = f"{100 * column(rows, 'density', method=method)[0]:.2f} %"
            apart = "-" if method == CONTROL else paired(rows, "method", method, CONTROL)
            lines.append([method, density, mean_spread(errors), apart, str(len(errors))])
    title = f"LeNet-300-100, digits, {DENSE_EPOCHS} epochs dense, then {EPOCHS}"
    header = ["method", "weights kept", "test error %", f"less {CONTROL}, paired", "seeds"]
    return f"{title}\n\n" + markdown(header, lines)
