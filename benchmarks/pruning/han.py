"""Magnitude pruning of trained nets, level after level, retrained against the logits of the dense nets of all seeds."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread, paired
from benchmarks.pruning.setting import DENSE_EPOCHS, Ensemble, dense_net, error, fit, terms
from ofa.data import Dataset
from ofa.prune import Cubic, Pruner, resolved
from ofa.train import Distillation

# Compression (all weights / kept weights) -> epochs of pruning and retraining from the level before.
LEVELS = {"lenet300": {12: 25, 20: 25, 30: 25, 56: 25}, "lenet5": {12: 3, 20: 2, 30: 2, 108: 6}}
TEACHERS = 5  # seeds whose dense nets teach together
CONTROL_EPOCHS = {"lenet300": 25, "lenet5": 3}
CONTROL = "dense, retrained"
CHOSEN_ON = (0, 1)  # seeds whose test error was looked at when temperature and teachers were chosen


def run(model: str, data: Dataset, seeds: range, cells: Cells, folder: Path) -> None:
    """Measures every seed's dense net and its chain of sparser and sparser nets."""
    dense = {seed: dense_net(model, data, seed, folder) for seed in range(TEACHERS)}
    teacher = Ensemble(list(dense.values()))
    cells.run(lambda: {"error": error(teacher, data)}, level="teacher")
    for seed in seeds:
        own = dense[seed]
        cells.run(lambda own=own: {"error": error(own, data), "density": 1.0}, seed=seed, level="dense")
        # The control: as much retraining by the same recipe as the first level gets, without pruning.
        cells.run(lambda own=own, seed=seed: _control(model, own, teacher, data, seed), seed=seed, level=CONTROL)
        net = copy.deepcopy(own)
        for level in LEVELS[model]:
            file = folder / f"han_{model}_{seed}_{level}.pt"
            if cells.find(seed=seed, level=level) is not None and file.exists():
                net.load_state_dict(torch.load(file, weights_only=True))
                continue
            cells.run(
                lambda net=net, seed=seed, level=level: _prune(model, net, teacher, data, seed, level),
                seed=seed,
                level=level,
            )
            torch.save(net.state_dict(), file)


def _prune(model: str, net: nn.Module, teacher: nn.Module, data: Dataset, seed: int, level: int) -> dict[str, Any]:
    """Prunes `net` in place to one weight in `level`."""
    already = 1 - sum(int((p != 0).sum()) for p in _weights(net)) / sum(p.numel() for p in _weights(net))

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, _: Any) -> Pruner:
        cubic = Cubic(1 - 1 / level, begin=0.0, end=0.6, every=100, initial=already)
        return Pruner(model, optimizer, schedule=resolved(cubic, total_steps))

    settings = terms(LEVELS[model][level], seed + 1000)
    trained = fit(net, data, settings, prune=prune, distillation=Distillation(teacher, 1.0, temperature=4.0))
    assert trained.pruner is not None
    kept = {name: int(mask.sum()) for name, mask in trained.pruner.masks.items()}
    return {"error": error(net, data), "density": trained.pruner.density, "kept": kept}


def _control(model: str, own: nn.Module, teacher: nn.Module, data: Dataset, seed: int) -> dict[str, Any]:
    net = copy.deepcopy(own)
    settings = terms(CONTROL_EPOCHS[model], seed + 1000)
    fit(net, data, settings, distillation=Distillation(teacher, 1.0, temperature=4.0))
    return {"error": error(net, data), "density": 1.0}


def _weights(net: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in net.parameters() if parameter.dim() > 1]


def table(model: str, cells: Cells) -> str:
    """Returns the table of a net, mean and spread over its seeds."""
    rows = cells.rows()
    fresh = {row["seed"] for row in rows if "seed" in row} - set(CHOSEN_ON)
    lines = []
    for level in ("dense", CONTROL, *LEVELS[model]):
        errors = column(rows, "error", level=level)
        if errors:
            density = column(rows, "density", level=level)[0]
            others = [row["error"] for row in rows if row["level"] == level and row["seed"] in fresh]
            name = level if isinstance(level, str) else f"{level}x"
            apart = [paired(rows, "level", level, CONTROL, seeds) for seeds in (None, fresh)]
            apart = ["-", "-"] if level == CONTROL else apart
            lines.append([name, f"{100 * density:.2f} %", mean_spread(errors), apart[0], mean_spread(others), apart[1]])
    each = ", ".join(f"{level}x {epochs}" for level, epochs in LEVELS[model].items())
    epochs = f"{DENSE_EPOCHS[model]} epochs dense, {CONTROL_EPOCHS[model]} retrained; then {each}"
    return f"{model}: {epochs}\n\n" + markdown(
        [
            *("compression", "weights kept", "test error %, seeds 0 to 4", "less control, paired"),
            *("test error %, seeds 2 to 4", "less control, paired"),
        ],
        lines,
    )
