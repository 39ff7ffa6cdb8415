"""Sparse from the start on LeNet-300-100: RigL and SET against static masks; SNIP and SynFlow against random ones."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread, paired
from benchmarks.pruning.setting import error, fit, make_net, terms
from ofa.data import Dataset
from ofa.prune import Constant, Geometric, Pruner, resolved
from ofa.prune.allocation import erk, global_, per_layer
from ofa.prune.criteria import grasp, random_, snip, synflow
from ofa.prune.regrowth import SET, RigL

EPOCHS = 10
SPARSE_TRAINING: dict[str, dict[str, Any]] = {
    "static": {},
    "SET": {"regrowth": SET(fraction_=0.3, every=469, until=0.75)},
    "RigL": {"regrowth": RigL(alpha=0.3, every=100, until=0.75)},
}
AT_INIT: dict[str, dict[str, Any]] = {
    "random, uniform": {"criterion": random_, "allocation": per_layer},
    "random, ERK": {"criterion": random_, "allocation": erk},
    "SNIP": {"criterion": snip, "allocation": global_},
    "GraSP": {"criterion": grasp, "allocation": global_},
    "GraSP, temperature 200": {"criterion": partial(grasp, temperature=200.0), "allocation": global_},
    "SynFlow": {"criterion": synflow, "allocation": global_, "rounds": 100},
}


def run_sparse_training(data: Dataset, seeds: range, cells: Cells, sparsity: float = 0.95) -> None:
    """Measures static, SET and RigL training at one sparsity with ERK densities."""
    for seed in seeds:
        for method, options in SPARSE_TRAINING.items():
            cells.run(partial(_sparse, data, seed, sparsity, options), method=method, sparsity=sparsity, seed=seed)


def run_at_init(data: Dataset, seeds: range, cells: Cells, sparsity: float = 0.98) -> None:
    """Measures masks that are chosen before any training."""
    for seed in seeds:
        for method, options in AT_INIT.items():
            cells.run(partial(_at_init, data, seed, sparsity, options), method=method, sparsity=sparsity, seed=seed)


def _sparse(data: Dataset, seed: int, sparsity: float, options: dict[str, Any]) -> dict[str, Any]:
    net = make_net("lenet300", seed)

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, _: Any) -> Pruner:
        regrowth = options.get("regrowth")
        return Pruner(
            model,
            optimizer,
            schedule=Constant(sparsity),
            criterion=random_,
            allocation=erk,
            regrowth=None if regrowth is None else resolved(regrowth, total_steps),
            seed=seed,
        )

    return _trained(net, data, seed, prune)


def _at_init(data: Dataset, seed: int, sparsity: float, options: dict[str, Any]) -> dict[str, Any]:
    net = make_net("lenet300", seed)

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, _: int, batches: Any) -> Pruner:
        example = torch.zeros(1, *data.input_shape)
        pruner = Pruner(
            model,
            optimizer,
            criterion=options["criterion"],
            allocation=options["allocation"],
            example_input=example,
            batches=batches,
            seed=seed,
        )
        rounds = Geometric(sparsity, begin=0, every=1, rounds=options.get("rounds", 1))
        for round_ in range(rounds.rounds):
            pruner.prune(rounds(round_) or 0.0)
        return pruner

    return _trained(net, data, seed, prune)


def _trained(net: nn.Module, data: Dataset, seed: int, prune: Any) -> dict[str, Any]:
    trained = fit(net, data, terms(EPOCHS, seed), prune=prune)
    assert trained.pruner is not None
    kept = {name: int(mask.sum()) for name, mask in trained.pruner.masks.items()}
    return {"error": error(net, data), "density": trained.pruner.density, "kept": kept}


def table(cells: Cells, methods: dict[str, Any], title: str, control: str) -> str:
    """Returns the table of one of the two experiments; differences are to the method `control` of the same seed."""
    rows = cells.rows()
    lines = []
    for method in methods:
        errors = column(rows, "error", method=method)
        if errors:
            density = column(rows, "density", method=method)[0]
            apart = "-" if method == control else paired(rows, "method", method, control)
            lines.append([method, f"{100 * density:.2f} %", mean_spread(errors), apart, str(len(errors))])
    header = ["method", "weights kept", "test error %", f"less {control}, paired", "seeds"]
    return f"{title} ({EPOCHS} epochs)\n\n" + markdown(header, lines)
