"""Measures networks of which some stages compute in int8: files, milliseconds beside predicted ones, and answers.

    python -m benchmarks.mixed_precision

A ResNet on the digits is trained, and its supernet is profiled in float32 and in int8. The largest subnet is then
written, timed and judged with each stage alone in int8, and with all; and random subnets with random stages in int8,
which no model was fitted to, are timed to tell how far the sum of parts is off. The results are in
benchmarks/results/mixed_precision.json; the table is printed.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ofa
from benchmarks.pruning.cells import markdown
from ofa.data import Dataset, digits
from ofa.models import ResNet
from ofa.paths import write_json
from ofa.precisions import int8_layers
from ofa.quantization import simulated
from ofa.task import classification, scores
from ofa.train import TrainSettings, train_network
from search.device.latency.mixed import MixedLatency
from search.device.profile import Profile
from search.device.profile_device import profile_device
from search.device.runtimes import OnnxRuntime
from search.networks.quantized_network import in_bits
from search.subnets.mixed_finalists import measure_mixed

RESULTS = Path(__file__).parent / "results" / "mixed_precision.json"
GROUPS = {
    "stem": ("stem.*",),
    "stage_0": ("stages.0.*",),
    "stage_1": ("stages.1.*",),
    "stage_2": ("stages.2.*",),
    "classifier": ("classifier",),
}
CHOICES: tuple[tuple[str, ...], ...] = ((), *((name,) for name in GROUPS), tuple(GROUPS))


def main() -> None:
    """Measures, keeps the results and prints them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--subnets", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=40.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ResNet(data.input_shape, data.num_classes, depth=14, widths=(32, 48, 64), shortcut="conv")
    optimizer = partial(torch.optim.AdamW, lr=3e-3, weight_decay=1e-2)
    train_network(
        net, data, TrainSettings(optimizer=optimizer, epochs=arguments.epochs, batch_size=64, validate_every=0)
    )
    supernet = ofa.Supernet(net.eval(), data.calibration(2))
    seconds = arguments.seconds
    usual, quick = (
        profile_device(supernet, OnnxRuntime(precision=name), seconds=seconds) for name in ("float32", "int8")
    )
    results = {
        "held_out_errors": [usual.held_out_error, quick.held_out_error],
        "largest": _of_largest(supernet, data, usual, quick, seconds),
        "random": _of_random(supernet, usual, quick, arguments.subnets, seconds),
    }
    write_json(RESULTS, results)
    print(text_of(results))


def _of_largest(
    supernet: ofa.Supernet, data: Dataset, usual: Profile, quick: Profile, seconds: float
) -> list[dict[str, Any]]:
    """The largest subnet with each of `CHOICES` in int8."""
    arch, inputs, task = supernet.space.largest, data.calibration(512), classification(data.num_outputs)
    net = supernet.extract(arch).eval()
    mixed = MixedLatency(supernet, usual, quick, GROUPS)
    layers = [int8_layers(GROUPS, chosen) for chosen in CHOICES]
    times = measure_mixed(
        supernet, [(arch, each) for each in layers], OnnxRuntime(precision="int8"), profile=quick, seconds=seconds
    )
    predicted = mixed.predict([arch] * len(CHOICES), CHOICES).tolist()
    rows = []
    for chosen, each, ms, foretold in zip(CHOICES, layers, times, predicted, strict=True):
        low = in_bits(net, inputs, "int8", layers=each)
        judged = {"file": low.network, "simulated": simulated(net, inputs, each)}
        errors = {
            name: 100 * (1 - scores(one, data.test.in_order(), task)["accuracy"].value) for name, one in judged.items()
        }
        rows.append({"int8": list(chosen), "bytes": len(low.model), "ms": ms, "predicted": foretold, **errors})
    return rows


def _of_random(supernet: ofa.Supernet, usual: Profile, quick: Profile, count: int, seconds: float) -> dict[str, Any]:
    """How far predictions are off on random subnets with random groups in int8, at least one and not all."""
    random = np.random.default_rng(17)
    archs = [supernet.space.sample(random) for _ in range(count)]
    chosen = [tuple(random.choice(list(GROUPS), random.integers(1, len(GROUPS)), replace=False)) for _ in archs]
    subnets = [(arch, int8_layers(GROUPS, each)) for arch, each in zip(archs, chosen, strict=True)]
    times = np.array(measure_mixed(supernet, subnets, OnnxRuntime(precision="int8"), profile=quick, seconds=seconds))
    mixed = MixedLatency(supernet, usual, quick, GROUPS)
    with_borders = mixed.predict(archs, chosen)
    border, mixed.border_ms = mixed.border_ms, 0.0
    without = mixed.predict(archs, chosen)
    return {
        "ms": times.tolist(),
        "predicted": with_borders.tolist(),
        "border_ms": border,
        "error": float(np.abs(with_borders / times - 1).mean()),
        "largest_error": float(np.abs(with_borders / times - 1).max()),
        "error_without_borders": float(np.abs(without / times - 1).mean()),
    }


def text_of(results: dict[str, Any]) -> str:
    """Returns the results as a table and a line."""
    rows = [
        [
            ", ".join(row["int8"]) or "none",
            f"{row['bytes']:,}",
            *(f"{row[name]:.4f}" for name in ("ms", "predicted")),
            *(f"{row[name]:.2f}" for name in ("file", "simulated")),
        ]
        for row in results["largest"]
    ]
    random = results["random"]
    header = ["in int8", "bytes of the file", "ms", "predicted", "test error, %", "simulated, %"]
    return (
        f"{markdown(header, rows)}\n\nrandom subnets: off by {100 * random['error']:.1f} % "
        f"(at most {100 * random['largest_error']:.1f} %), "
        f"without borders {100 * random['error_without_borders']:.1f} %; a border takes "
        f"{1000 * random['border_ms']:.2f} us"
    )


if __name__ == "__main__":
    main()
