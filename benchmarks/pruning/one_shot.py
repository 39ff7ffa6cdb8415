"""LeNet-300-100 made sparse at once with 1,000 training images and no training."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread
from benchmarks.pruning.setting import dense_net, error
from ofa.data import Dataset
from ofa.prune import OneShot, Pruner
from ofa.prune.allocation import global_, lamp, per_layer
from ofa.prune.criteria import taylor
from ofa.prune.reconstruction import obs, one_shot, wanda

EXAMPLES = 1000
SPARSITIES = (0.5, 0.8, 0.9)
BY_SCORE: dict[str, dict[str, Any]] = {
    "magnitude, each layer alike": {"allocation": per_layer},
    "magnitude, global": {"allocation": global_},
    "magnitude, LAMP": {"allocation": lamp},
    "Taylor, global": {"allocation": global_, "criterion": taylor},
}
BY_LAYER: dict[str, dict[str, Any]] = {
    "Wanda, each layer alike": {"method": wanda, "allocation": per_layer},
    "OBS, each layer alike": {"method": obs, "allocation": per_layer},
    "OBS, LAMP, without refit": {"method": partial(obs, refit=False), "allocation": lamp},
    "OBS, LAMP": {"method": obs, "allocation": lamp},
}


def run(data: Dataset, seeds: range, cells: Cells, folder: Path) -> None:
    """Measures each seed's dense network, and each method and sparsity from there."""
    for seed in seeds:
        dense = dense_net("lenet300", data, seed, folder)
        cells.run(lambda dense=dense: {"error": error(dense, data)}, method="dense", sparsity=0.0, seed=seed)
        for sparsity in SPARSITIES:
            for method in (*BY_SCORE, *BY_LAYER):
                cells.run(partial(_pruned, dense, data, sparsity, method), method=method, sparsity=sparsity, seed=seed)


def _pruned(dense: nn.Module, data: Dataset, sparsity: float, method: str) -> dict[str, Any]:
    net = copy.deepcopy(dense)
    images, labels = data.train.take(torch.arange(EXAMPLES))
    if method in BY_LAYER:
        masks = one_shot(net, [images], sparsity, **BY_LAYER[method])
    else:
        few = [(images[i : i + 10], labels[i : i + 10]) for i in range(0, EXAMPLES, 10)]
        pruner = Pruner(net, schedule=OneShot(sparsity), batches=lambda: few, **BY_SCORE[method])
        masks = pruner.masks
        pruner.finalize()
    kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    return {"error": error(net, data), "kept": kept}


def table(cells: Cells) -> str:
    """Returns the table."""
    rows = cells.rows()
    lines = []
    for method in ("dense", *BY_SCORE, *BY_LAYER):
        levels = (0.0,) if method == "dense" else SPARSITIES
        found = [mean_spread(column(rows, "error", method=method, sparsity=level)) for level in levels]
        lines.append([method, *(found * len(SPARSITIES) if method == "dense" else found)])
    seeds = len(column(rows, "error", method="dense"))
    title = f"LeNet-300-100, {EXAMPLES:,} images, no training: test error % by sparsity, {seeds} seeds"
    return f"{title}\n\n" + markdown(["method", *(f"{100 * level:.0f} %" for level in SPARSITIES)], lines)
