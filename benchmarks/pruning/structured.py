"""Channels of a ResNet-20 on the digits (8x8 pixels) pruned to half of its multiply-accumulates."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread
from ofa._evaluate import evaluate
from ofa.data import Dataset, digits
from ofa.data.augment import random_shift
from ofa.models import ResNet
from ofa.prune import Cubic, Pruner, resolved
from ofa.prune.allocation import budget
from ofa.prune.criteria import fpgm, magnitude, norm_scale, normalized, random_, taylor
from ofa.prune.granularity import channel
from ofa.train import Distillation, NetworkTraining, TrainSettings, train_network

EPOCHS, PRUNE_EPOCHS, BATCH_SIZE = 30, 30, 64
REMOVED = 0.5  # of the multiply-accumulates
CRITERIA: dict[str, Any] = {
    "magnitude": normalized(magnitude),
    "batch-norm scale": norm_scale,
    "Taylor": taylor,
    "FPGM": fpgm,
    "random": random_,
}


def run(seeds: range, cells: Cells, folder: Path) -> None:
    """Measures each seed's dense net, as trained and trained on, and each criterion from there."""
    data = digits()
    for seed in seeds:
        dense = _dense(data, seed, folder)
        cells.run(lambda dense=dense: _figures(dense, data), method="dense", seed=seed)
        cells.run(lambda dense=dense, seed=seed: _train_on(dense, data, seed), method="dense, trained on", seed=seed)
        for method, criterion in CRITERIA.items():
            cells.run(partial(_prune, dense, data, seed, criterion), method=method, seed=seed)


def _fit(net: nn.Module, data: Dataset, epochs: int, seed: int, rate: float, **options: Any) -> NetworkTraining:
    optimizer = partial(torch.optim.SGD, lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4, fused=True)
    settings = TrainSettings(
        optimizer=optimizer,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        seed=seed,
        augment=partial(random_shift, pixels=1),
        validate_every=0,
    )
    return train_network(net, data, settings, **options)


def _taught_by(dense: nn.Module) -> Distillation:
    return Distillation(dense, 0.5, temperature=4.0)


def _dense(data: Dataset, seed: int, folder: Path) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ResNet(data.input_shape, data.num_classes, depth=20)
    file = folder / f"dense_resnet20_{seed}.pt"
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
    else:
        _fit(net, data, EPOCHS, seed, 0.1)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), file)
    return net


def _figures(net: nn.Module, data: Dataset) -> dict[str, Any]:
    return {
        "accuracy": 100 * evaluate(net, data.test.images, data.test.labels),
        "params": sum(parameter.numel() for parameter in net.parameters()),
    }


def _train_on(dense: nn.Module, data: Dataset, seed: int) -> dict[str, Any]:
    net = copy.deepcopy(dense)
    _fit(net, data, PRUNE_EPOCHS, seed + 1000, 0.05, distillation=_taught_by(dense))
    return _figures(net, data)


def _prune(dense: nn.Module, data: Dataset, seed: int, criterion: Any) -> dict[str, Any]:
    net = copy.deepcopy(dense)

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, batches: Any) -> Pruner:
        return Pruner(
            model,
            optimizer,
            schedule=resolved(Cubic(REMOVED, begin=0.0, end=0.3, every=20), total_steps),
            criterion=criterion,
            allocation=partial(budget, metric="macs"),
            granularity=partial(channel, multiple_of=4),
            example_input=torch.zeros(2, *data.input_shape),
            batches=batches,
            seed=seed,
        )

    trained = _fit(net, data, PRUNE_EPOCHS, seed + 1000, 0.05, prune=prune, distillation=_taught_by(dense))
    pruner = trained.pruner
    assert pruner is not None
    masked = evaluate(net, data.test.images, data.test.labels)
    slim, _ = pruner.slim()
    granularity = pruner.granularity
    alive = [int(kept.sum()) for kept in granularity.alive(pruner.masks)]
    full = granularity.cost([pool.pieces for pool in granularity.pools])
    with torch.no_grad():
        difference = float((net.eval()(data.test.images) - slim.eval()(data.test.images)).abs().max())
    return {
        **_figures(slim, data),
        "masked_accuracy": 100 * masked,
        "macs": granularity.cost(alive)["macs"],
        "full_macs": full["macs"],
        "largest_difference": difference,
    }


def table(cells: Cells) -> str:
    """Returns the table."""
    rows = cells.rows()
    lines = []
    for method in ("dense", "dense, trained on", *CRITERIA):
        own = [row for row in rows if row["method"] == method]
        if own:
            dense = [column(rows, "accuracy", method="dense", seed=row["seed"])[0] for row in own]
            found = column(own, "accuracy")
            change = mean_spread([a - b for a, b in zip(found, dense, strict=True)])
            macs = mean_spread([row["full_macs"] / row["macs"] for row in own]) + "x" if "macs" in own[0] else "1x"
            lines.append([method, macs, mean_spread(found), change, str(len(own))])
    title = f"ResNet-20, digits, {EPOCHS} epochs dense, then {PRUNE_EPOCHS}"
    return f"{title}\n\n" + markdown(
        ["criterion", "fewer multiply-accumulates", "test accuracy %", "change to own dense net", "seeds"], lines
    )
