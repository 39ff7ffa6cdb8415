"""Lottery tickets on LeNet-300-100 against new initial weights and against masks at random places."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread
from benchmarks.pruning.setting import error, fit, terms
from ofa.data import Dataset
from ofa.models import LeNet300
from ofa.prune import Pruner
from ofa.prune.initializers import xavier_
from ofa.prune.lottery import lottery
from ofa.train.schedules import constant

EPOCHS = 5
DENSITIES = (0.51, 0.26, 0.17, 0.107, 0.069, 0.035)


def run(data: Dataset, seeds: range, cells: Cells, folder: Path) -> None:
    """Measures every level of every seed, by the paper's recipe (Adam 1.2e-3, Glorot, rewound to the start)."""
    for seed in seeds:
        rows = lottery(
            LeNet300,
            partial(_train, data),
            folder=folder / f"lottery_{seed}",
            densities=DENSITIES,
            rates={"classifier": 0.5},
            initializer=xavier_,
            seed=seed,
        )
        for row in rows:
            cells.run(lambda row=row: row, seed=seed, kind=row["kind"], asked=row["asked"])


def _train(data: Dataset, model: nn.Module, masks: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
    def prune(net: nn.Module, optimizer: torch.optim.Optimizer, _: int, __: Any) -> Pruner:
        pruner = Pruner(net, optimizer)
        pruner.set_masks(masks)
        return pruner

    optimizer = partial(torch.optim.Adam, lr=1.2e-3, fused=True)
    fit(model, data, replace(terms(EPOCHS, seed), optimizer=optimizer, schedule=constant), prune=prune)
    found = {"error": error(model, data)}
    print("lottery", seed, sum(int(mask.sum()) for mask in masks.values()), found, flush=True)
    return found


def table(cells: Cells) -> str:
    """Returns the table: a row a density, a column a kind."""
    rows = cells.rows()
    lines = []
    for asked in (1.0, *DENSITIES):
        found = [column(rows, "error", kind=kind, asked=asked) for kind in ("ticket", "reinit", "random")]
        if found[0]:
            density = column(rows, "density", asked=asked)[0]
            texts = [mean_spread(errors) if errors else "-" for errors in found]
            lines.append([f"{100 * density:.1f} %", *texts, str(len(found[0]))])
    return f"LeNet-300-100 ({EPOCHS} epochs a level)\n\n" + markdown(
        ["weights kept", "ticket: test error %", "new initial weights", "random mask", "seeds"], lines
    )
