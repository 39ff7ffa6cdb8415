"""How well the latency model predicts networks it has not seen, beside MACs alone and beside measuring again.

    python benchmarks/latency_fit.py --image-size 32 --anchors 30 --held-out 30

Held-out networks are uniform draws of a MobileNetV3-style space, which lie elsewhere than the anchors. They are
measured in the same rounds as the anchors, and all once more: what the second run differs is the floor.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

import ofa
from ofa.models.mobilenet import MobileNet
from search.device import HeldOut, OnnxRuntime, clock_named, fit_latency_model, measure
from search.device.anchors import choose_anchors
from search.device.fit import BASELINE


def main() -> None:
    """Measures, fits and prints a table."""
    parser = argparse.ArgumentParser(description="held-out error of the latency model on a MobileNetV3-style space")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--anchors", type=int, default=30)
    parser.add_argument("--held-out", type=int, default=30)
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each of the two measurements")
    parser.add_argument("--clock", default="wall", help="wall, or cpu on a busy machine")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()

    torch.manual_seed(chosen.seed)
    shape = (3, chosen.image_size, chosen.image_size)
    supernet = ofa.Supernet(MobileNet(shape, 10), torch.randn(2, *shape))
    generator = np.random.default_rng(chosen.seed + 1)
    anchors = choose_anchors(
        supernet.space, lambda archs: ofa.cost(supernet, archs)["macs"].astype(float), chosen.anchors, chosen.seed
    )
    archs = [*anchors, *(supernet.space.sample(generator) for _ in range(chosen.held_out))]
    nets = [supernet.extract(arch).eval() for arch in archs]
    first, second = (
        measure(
            nets,
            supernet.example_input[:1],
            OnnxRuntime(),
            visits=chosen.visits,
            seconds=chosen.seconds,
            seed=seed,
            clock=clock_named(chosen.clock),
        )
        for seed in (0, 1)
    )
    costs = ofa.cost(supernet, archs)
    seen = {name: values[: len(anchors)] for name, values in costs.items()}
    unseen = {name: values[len(anchors) :] for name, values in costs.items()}
    measured = first.ms[len(anchors) :]
    model = fit_latency_model(seen, first.ms[: len(anchors)], seed=chosen.seed)
    by_macs = fit_latency_model(seen, first.ms[: len(anchors)], forms=[BASELINE], seed=chosen.seed)
    tied = second.ms[len(anchors) :] * first.sentinel.ms / second.sentinel.ms

    print(f"{len(archs)} networks, {first.ms.min():.3f} to {first.ms.max():.3f} ms, clock {chosen.clock}")
    for name, found in (("first", first), ("second", second)):
        print(
            f"{name} run: {found.seconds:.1f} s, {found.sentinel.visits} visits, odd/even {found.disagreement:.2%}, "
            f"drift {found.drift:.1%}, {found.verdict}"
        )
    print(f"form: {' + '.join(model.form)}\n")
    print(f"{'':34}{'MAPE':>8}{'in 10 %':>9}{'largest':>9}{'Spearman':>10}")
    for name, result in (
        (f"model, {len(anchors)} anchors cross-validated", model.held_out),
        ("model, uniform draws", HeldOut.of(model.predict(unseen), measured)),
        ("MACs alone, anchors", model.macs_only),
        ("MACs alone, uniform draws", HeldOut.of(by_macs.predict(unseen), measured)),
        ("measured again", HeldOut.of(tied, measured)),
    ):
        print(f"{name:34}{result.mape:8.2%}{result.within_10:9.0%}{result.largest:9.1%}{result.spearman:10.4f}")


if __name__ == "__main__":
    main()
