"""Measures what is lost when weights become integers: at once, after training drawn to them, and by free codebooks.

    python -m benchmarks.integers

A multilayer perceptron (64, 32 hidden units) on the digits, three seeds. Each dense network is trained on three times
by the same settings: as it is, with the integer-attracting regularizer (its strength chosen on the validation images),
and with codebooks of as many values. The results are in benchmarks/results/integers.json; the table is printed.
"""

from __future__ import annotations

import copy
import statistics
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.cells import markdown, mean_spread, measure_seeds
from ofa._evaluate import evaluate
from ofa.compress import share, with_codebooks, without_codebooks
from ofa.data import Dataset, digits
from ofa.models import LeNet300
from ofa.prune import Pruner
from ofa.prune.regularizers import IntegerAttracting
from ofa.train import TrainSettings, train_network

RESULTS = Path(__file__).parent / "results" / "integers.json"
EPOCHS, MORE_EPOCHS = 40, 20
BITS = (2, 3, 4)
STRENGTHS = (1e-4, 1e-3, 1e-2)


def main() -> None:
    """Measures what is missing, and prints the table."""
    measure_seeds(RESULTS, partial(measured, digits()), table)


def measured(data: Dataset, seed: int) -> dict[str, Any]:
    """Returns the test errors in percent of a seed's networks, by bits and by how they became integers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        dense = LeNet300(data.input_shape, data.num_classes, hidden=(64, 32))
    train_network(dense, data, _settings(EPOCHS, seed))
    control = copy.deepcopy(dense)
    train_network(control, data, _settings(MORE_EPOCHS, seed + 100))
    result: dict[str, Any] = {"dense": _error(control, data)}
    for bits in BITS:
        drawn = [_drawn(dense, data, seed, bits, strength) for strength in STRENGTHS]
        integers = [_as_integers(net, bits) for net in drawn]
        best = min(range(len(drawn)), key=lambda at: (_error(integers[at], data, validation=True), at))
        result[str(bits)] = {
            "at once": _error(_as_integers(control, bits), data),
            "drawn": _error(integers[best], data),
            "strength": STRENGTHS[best],
            "codebooks": _error(_codebooks(dense, data, seed, bits), data),
        }
    return result


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the table of all seeds."""
    dense = [row["dense"] for row in rows]
    lines = [["float32", mean_spread(dense), mean_spread(dense), mean_spread(dense), "-"]]
    for bits in BITS:
        of = [row[str(bits)] for row in rows]
        gain = [each["at once"] - each["drawn"] for each in of]
        error = statistics.stdev(gain) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
        means = [mean_spread([each[way] for each in of]) for way in ("at once", "drawn", "codebooks")]
        lines.append([f"{bits} bits", *means, f"{statistics.fmean(gain):+.2f} ({error:.2f})"])
    header = [
        "weights",
        "integers at once",
        "integers after the regularizer",
        "trained codebooks",
        "gain (standard error)",
    ]
    return markdown(header, lines)


def _settings(epochs: int, seed: int) -> TrainSettings:
    optimizer = partial(torch.optim.AdamW, lr=3e-3, weight_decay=1e-2)
    return TrainSettings(optimizer=optimizer, epochs=epochs, batch_size=64, seed=seed, validate_every=0)


def _drawn(dense: nn.Module, data: Dataset, seed: int, bits: int, strength: float) -> nn.Module:
    net = copy.deepcopy(dense)
    attracting = IntegerAttracting(strength, bits=bits, ramp=(0.0, 0.5))

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, *_: Any) -> Pruner:
        return Pruner(model, optimizer, regularizers=[attracting])

    train_network(net, data, _settings(MORE_EPOCHS, seed + 100), prune=prune)
    return net


def _codebooks(dense: nn.Module, data: Dataset, seed: int, bits: int) -> nn.Module:
    net = with_codebooks(dense, share(dense, levels=2**bits - 1))
    train_network(net, data, _settings(MORE_EPOCHS, seed + 100))
    return without_codebooks(net)


def _as_integers(net: nn.Module, bits: int) -> nn.Module:
    return share(net, bits, start="integers").put(copy.deepcopy(net))


def _error(net: nn.Module, data: Dataset, *, validation: bool = False) -> float:
    split = data.validation if validation else data.test
    return round(100 * (1 - evaluate(net, split.images, split.labels)), 3)


if __name__ == "__main__":
    main()
