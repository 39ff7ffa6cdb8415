"""Group lasso with its proximal step: how many neurons it removes exactly, and the slim net that is left."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread
from benchmarks.pruning.setting import error, fit, make_net, terms
from ofa.data import Dataset
from ofa.prune import Pruner
from ofa.prune.regularizers import GroupLasso, SparseGroupLasso

EPOCHS = 12
METHODS: dict[str, Any] = {
    "group lasso 1e-3": GroupLasso(1e-3, layers={"classifier*": 0.0}),
    "group lasso 2e-3": GroupLasso(2e-3, layers={"classifier*": 0.0}),
    "sparse group lasso 2e-3": SparseGroupLasso(2e-3, alpha=0.5, layers={"classifier*": 0.0}),
}


def run(data: Dataset, seeds: range, cells: Cells) -> None:
    """Trains LeNet-300-100 with each regularizer and slims it."""
    for seed in seeds:
        for method, regularizer in METHODS.items():
            cells.run(partial(_measure, data, seed, regularizer), method=method, seed=seed)


def _measure(data: Dataset, seed: int, regularizer: Any) -> dict[str, Any]:
    net = make_net("lenet300", seed)
    example = data.test.images[:64]

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, _: int, __: Any) -> Pruner:
        return Pruner(model, optimizer, regularizers=[regularizer], example_input=example)

    # Plain gradient steps: the proximal step belongs to them, and Adam's would outgrow it.
    optimizer = partial(torch.optim.SGD, lr=0.05, momentum=0.9)
    trained = fit(net, data, replace(terms(EPOCHS, seed), optimizer=optimizer), prune=prune)
    assert trained.pruner is not None
    slim, _ = trained.pruner.slim()
    with torch.no_grad():
        difference = float((net(data.test.images) - slim(data.test.images)).abs().max())
    zero_rows = {
        name: int((parameter.flatten(1) == 0).all(dim=1).sum())
        for name, parameter in net.named_parameters()
        if parameter.dim() > 1
    }
    return {
        "error": error(net, data),
        "slim_error": error(slim, data),
        "params": sum(parameter.numel() for parameter in net.parameters()),
        "slim_params": sum(parameter.numel() for parameter in slim.parameters()),
        "slim_widths": [parameter.shape[0] for parameter in slim.parameters() if parameter.dim() > 1],
        "zero_rows": zero_rows,
        "largest_difference": difference,
    }


def table(cells: Cells) -> str:
    """Returns the table."""
    rows = cells.rows()
    lines = []
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if own:
            widths = [mean_spread([row["slim_widths"][i] for row in own], 0) for i in range(2)]
            lines.append(
                [
                    method,
                    mean_spread(column(own, "error")),
                    mean_spread(column(own, "slim_error")),
                    " / ".join(widths),
                    mean_spread([row["params"] / row["slim_params"] for row in own], 1) + "x",
                    f"{max(column(own, 'largest_difference')):.1e}",
                    str(len(own)),
                ]
            )
    return f"LeNet-300-100 ({EPOCHS} epochs)\n\n" + markdown(
        [
            "regularizer",
            "error %",
            "slim error %",
            "neurons left of 300 / 100",
            "smaller",
            "largest difference",
            "seeds",
        ],
        lines,
    )
