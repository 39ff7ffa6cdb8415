"""Measures what is lost in int8 and int4, at once and after training with their rounding, at equal epochs.

    python -m benchmarks.fewer_bits

A narrow ResNet on the digits, three seeds. Each dense network is trained on three times by
the same settings: in float32, int8 and int4. What came of float32 is then written as files in int8 and int4, and what
came of the others as files in theirs, which ONNX Runtime answers with. The results are in
benchmarks/results/fewer_bits.json; the table is printed.
"""

from __future__ import annotations

import copy
import statistics
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from benchmarks.pruning.cells import column, markdown, mean_spread, measure_seeds
from benchmarks.quality.figures import standard_error
from ofa.data import Dataset, digits
from ofa.models import ResNet
from ofa.task import classification, scores
from ofa.train import TrainSettings, train_network
from search.networks.quantized_network import in_bits

RESULTS = Path(__file__).parent / "results" / "fewer_bits.json"
EPOCHS, MORE_EPOCHS, RATE, MORE_RATE = 20, 10, 3e-3, 1e-3
WIDTHS = (4, 8, 16)
BITS: tuple[Literal["int8", "int4"], ...] = ("int8", "int4")


def main() -> None:
    """Measures what is missing, and prints the table."""
    measure_seeds(RESULTS, partial(measured, digits()), table, problem="digits")


def measured(data: Dataset, seed: int) -> dict[str, float]:
    """Returns the test errors in percent of a seed's networks."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dense = ResNet(data.input_shape, data.num_classes, depth=8, widths=WIDTHS)
    train_network(dense, data, _settings(EPOCHS, RATE, seed))
    control = _more(dense, data, seed, "float32")
    result = {"float32": _error(control, data)}
    for bits in BITS:
        for way, net in (("at once", control), ("trained", _more(dense, data, seed, bits))):
            result[f"{bits} {way}"] = _error(in_bits(net, data.calibration(512), bits).network, data)
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the table of all seeds: mean test errors, and what training with the rounding has changed."""
    lines = []
    for problem in dict.fromkeys(row["problem"] for row in rows):
        for bits in BITS:
            names = ("float32", f"{bits} at once", f"{bits} trained")
            errors = [column(rows, name, problem=problem) for name in names]
            gains = [after - before for after, before in zip(errors[2], errors[1], strict=True)]
            gain = f"{statistics.fmean(gains):+.2f} ({standard_error(gains) or 0:.2f})"
            lines.append([problem, bits, *map(mean_spread, errors), gain])
    header = ["data", "bits", "float32", "rounded at once", "trained so", "difference (standard error)"]
    return markdown(header, lines)


def _settings(epochs: int, rate: float, seed: int, precision: str = "float32") -> TrainSettings:
    optimizer = partial(torch.optim.AdamW, lr=rate, weight_decay=1e-2)
    return TrainSettings(
        optimizer=optimizer, epochs=epochs, batch_size=64, seed=seed, validate_every=0, precision=precision
    )


def _more(dense: nn.Module, data: Dataset, seed: int, precision: str) -> nn.Module:
    net = copy.deepcopy(dense)
    train_network(net, data, _settings(MORE_EPOCHS, MORE_RATE, seed + 100, precision))
    return net.eval()


def _error(net: nn.Module, data: Dataset) -> float:
    found = scores(net, data.test.in_order(), classification(data))
    return round(100 * (1 - found["accuracy"].value), 3)


if __name__ == "__main__":
    main()
