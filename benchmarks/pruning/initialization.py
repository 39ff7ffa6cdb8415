"""Initial schemes on LeNet-5 (61,706 parameters, no norm layers): test error after so many steps."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from benchmarks.pruning.cells import Cells, markdown, mean_spread
from benchmarks.pruning.setting import BATCH_SIZE, error
from ofa.data import Dataset, batches
from ofa.models import LeNet5
from ofa.prune.initializers import data_dependent_, kaiming_, lsuv_, orthogonal_, xavier_

CHECKS = (25, 50, 100, 200, 400)
METHODS: dict[str, Any] = {
    "xavier": xavier_,
    "kaiming": kaiming_,
    "orthogonal": orthogonal_,
    "LSUV": lsuv_,
    "data-dependent, random": partial(data_dependent_, method="random"),
    "data-dependent, PCA": partial(data_dependent_, method="pca"),
    "data-dependent, k-means": partial(data_dependent_, method="kmeans"),
}
RATES = (0.01,)  # of SGD with momentum 0.9


def run(data: Dataset, seeds: range, cells: Cells) -> None:
    """Trains from each initial scheme with each learning rate and measures the error on the way."""
    for seed in seeds:
        for method, initializer in METHODS.items():
            for rate in RATES:
                cells.run(partial(_measure, data, seed, initializer, rate), method=method, rate=rate, seed=seed)


def _measure(data: Dataset, seed: int, initializer: Any, rate: float) -> dict[str, Any]:
    net = LeNet5()
    initializer(net, data.calibration(512), torch.Generator().manual_seed(seed))
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9)
    errors = {}
    feed = batches(data.train, BATCH_SIZE, seed=seed, epoch=0)
    for step, (images, labels) in enumerate(feed, start=1):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(images), labels).backward()
        optimizer.step()
        if step in CHECKS:
            errors[str(step)] = error(net, data)
        if step == CHECKS[-1]:
            break
    return {"errors": errors}


def table(cells: Cells) -> str:
    """Returns the table: test error after each count of steps."""
    rows = cells.rows()
    lines = []
    for rate in RATES:
        for method in METHODS:
            own = [row["errors"] for row in rows if row["method"] == method and row["rate"] == rate]
            if own:
                figures = [mean_spread([row[str(step)] for row in own]) for step in CHECKS]
                lines.append([method, str(rate), *figures, str(len(own))])
    steps = [f"{step} steps" for step in CHECKS]
    return "LeNet-5 (61,706 parameters) without batch norm, test error in %\n\n" + markdown(
        ["initial scheme", "learning rate", *steps, "seeds"], lines
    )
