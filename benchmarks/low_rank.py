"""Measures what low rank loses: convolutions as two dense layers or three, beside narrower networks as small.

    python -m benchmarks.low_rank [--seeds 3]

A small ResNet on the digits. Each trained network is split to several budgets of parameters, judged at once, and
trained on. Its control is the same network trained on for as long without a split; the other way to as few parameters
is a narrower ResNet, trained from fresh weights for as long as both trainings together. The results are in
benchmarks/results/low_rank.json; the table is printed.
"""

from __future__ import annotations

import copy
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from benchmarks.pruning.cells import markdown, mean_spread, measure_seeds
from ofa.compress import factorize
from ofa.data import Dataset, digits
from ofa.models import ResNet
from ofa.train import TrainSettings, train_network

RESULTS = Path(__file__).parent / "results" / "low_rank.json"
EPOCHS, MORE_EPOCHS = 20, 10
WIDTHS = (16, 24, 32)
BUDGETS = (0.5, 0.25)
METHODS = {"svd": "two dense layers", "tucker": "three (Tucker-2)"}


def main() -> None:
    """Measures what is missing, and prints the table."""
    measure_seeds(RESULTS, partial(measured, digits()), table)


def measured(data: Dataset, seed: int) -> dict[str, Any]:
    """Returns the test errors in percent, parameters and MACs of a seed's networks, by way and budget."""
    dense = _trained(_network(data, WIDTHS, seed), data, EPOCHS, seed)
    result: dict[str, Any] = {"control": _row(_trained(dense, data, MORE_EPOCHS, seed + 100), data)}
    parameters = _parameters(dense)
    for budget in BUDGETS:
        for method in METHODS:
            split = factorize(dense, budget=budget, method=method)
            ended = _trained(split, data, MORE_EPOCHS, seed + 100)
            result[f"{method} {budget}"] = {"at_once": _error(split, data), **_row(ended, data)}
        narrow = _network(data, _narrower(data, budget * parameters), seed)
        result[f"narrow {budget}"] = _row(_trained(narrow, data, EPOCHS + MORE_EPOCHS, seed), data)
    return result


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Returns the table of all seeds."""
    control = [row["control"]["error"] for row in rows]
    parameters, macs = (rows[0]["control"][name] for name in ("parameters", "macs"))
    lines = [["as it was, trained on", f"{parameters:,}", f"{macs:,}", "", mean_spread(control), "-"]]
    for budget in BUDGETS:
        for way, name in {**METHODS, "narrow": "narrower, from fresh weights"}.items():
            of = [row[f"{way} {budget}"] for row in rows]
            changes = [each["error"] - before for each, before in zip(of, control, strict=True)]
            deviation = f" ({statistics.stdev(changes) / len(changes) ** 0.5:.2f})" if len(changes) > 1 else ""
            lines.append(
                [
                    name,
                    *(f"{statistics.fmean(each[part] for each in of):,.0f}" for part in ("parameters", "macs")),
                    mean_spread([each["at_once"] for each in of]) if way in METHODS else "",
                    mean_spread([each["error"] for each in of]),
                    f"{statistics.fmean(changes):+.2f}{deviation}",
                ]
            )
    return markdown(
        ["convolutions", "parameters", "MACs", "error at once", "error trained on", "minus control (standard error)"],
        lines,
    )


def _network(data: Dataset, widths: Sequence[int], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ResNet(data.input_shape, data.num_outputs, depth=8, widths=widths)


def _narrower(data: Dataset, most: float) -> list[int]:
    """The widths, all in about the same proportion, of the largest network with at most so many parameters."""
    for percent in range(100, 0, -1):
        widths = [max(1, round(width * percent / 100)) for width in WIDTHS]
        if _parameters(_network(data, widths, 0)) <= most:
            return widths
    raise ValueError(f"no network has {most} parameters or fewer")


def _trained(net: nn.Module, data: Dataset, epochs: int, seed: int) -> nn.Module:
    net = copy.deepcopy(net)
    optimizer = partial(torch.optim.AdamW, lr=3e-3, weight_decay=1e-2)
    settings = TrainSettings(optimizer=optimizer, epochs=epochs, batch_size=64, seed=seed, validate_every=0)
    train_network(net, data, settings)
    return net


def _row(net: nn.Module, data: Dataset) -> dict[str, float]:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, *data.input_shape))
    return {"error": _error(net, data), "parameters": _parameters(net), "macs": counter.get_total_flops() // 2}


def _parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _error(net: nn.Module, data: Dataset) -> float:
    """The test error in percent, norm statistics measured anew."""
    judged = ofa.calibrate(copy.deepcopy(net), data.calibration(1024))
    return round(100 * (1 - ofa.evaluate(judged, data.test.images, data.test.labels)), 3)


if __name__ == "__main__":
    main()
