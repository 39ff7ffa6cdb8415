"""How well the latency model predicts networks it has not seen, beside the raw table, MACs and measuring again.

    python benchmarks/latency_model.py                      # ONNX Runtime, 1 thread
    python benchmarks/latency_model.py --runtime eager
    python benchmarks/latency_model.py --space all_widths

A MobileNetV3-style supernet at 64x64. The profile is made as `ofa profile` makes it; then uniform draws and the winners
of searches, are measured twice in runs of their own, on the profile's scale. A winner is the Arch of most parameters
and MACs (a stand-in for accuracy that pulls in a direction no anchor was chosen in) that is predicted within a limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ofa
from ofa.arch import Arch
from ofa.models.mobilenet import MobileNet
from ofa.records import content_of
from search.device import HeldOut, Profile, make_runtime
from search.device.latency.fit import BASELINE, FORMS, TABLE, fit_latency_model
from search.device.latency.model import features_of
from search.device.measure_archs import measure_archs
from search.device.profile_device import profile_device
from search.device.standalone.machine import describe_machine

RESULTS = Path(__file__).parent / "results"
WINNERS = 10


def build(space: str) -> ofa.Supernet:
    """Returns the supernet: "kernels" as once-for-all has it (depth, kernel, expansion), or "all_widths"."""
    torch.manual_seed(0)
    example = torch.randn(2, 3, 64, 64)
    if space == "all_widths":
        return ofa.Supernet(MobileNet((3, 64, 64)).eval(), example)
    stages = [
        {"width": width, "blocks": 3, "stride": 2, "kernel_size": 7, "expansion": 6, "squeeze_excite": squeezes}
        for width, squeezes in ((16, False), (24, False), (40, True), (64, True))
    ]
    rules = ofa.SpaceRules(
        width_ratios=[1.0],
        width_ratios_for={"*.expand": [1 / 2, 2 / 3, 1.0]},
        kernel_sizes={"*depthwise*": [3, 5, 7]},
    )
    return ofa.Supernet(MobileNet((3, 64, 64), stages=stages, head_width=128).eval(), example, rules)


def winners(supernet: ofa.Supernet, profile: Profile, seed: int) -> list[Arch]:
    """Returns for `WINNERS` limits the Arch that an evolution found best within it, by prediction."""
    ends = profile.predict_archs(supernet, [supernet.space.smallest, supernet.space.largest])
    generator = np.random.default_rng(seed)
    found: list[Arch] = []
    for limit in np.linspace(ends[0], ends[1], WINNERS + 2)[1:-1]:
        pool = [supernet.space.smallest, *(supernet.space.sample(generator) for _ in range(256))]
        for _ in range(30):
            costs = ofa.cost(supernet, pool)
            score = np.log(costs["macs"]) + 0.5 * np.log(costs["params"])
            score[profile.predict_archs(supernet, pool) > limit] -= 1e3
            best = [pool[index] for index in np.argsort(-score, kind="stable")[:32]]
            children = [supernet.space.mutate(arch, generator, 0.1) for arch in best for _ in range(4)]
            pool = list(dict.fromkeys([*best, *children]))
        found.append(best[0])
    return found


def row(name: str, found: HeldOut) -> str:
    """Returns a line of the table."""
    return (
        f"| {name} | {found.mape:.2%} | {found.within_10:.0%} | {found.largest:.1%} | {found.spearman:.4f} |"
        f" {found.networks} |"
    )


def with_fewer(supernet: ofa.Supernet, profile: Profile, archs: list[Arch], ms: Any, count: int) -> HeldOut:
    """Returns the errors on `archs` of fits from `count` anchors, over 20 draws of which."""
    generator = np.random.default_rng(0)
    columns = {name: np.array([anchor.costs[name] for anchor in profile.anchors]) for name in profile.anchors[0].costs}
    measured = np.array([anchor.ms for anchor in profile.anchors])
    unseen = features_of(supernet, profile.table(supernet), archs)
    predicted = []
    for _ in range(20):
        kept = np.concatenate([[0, 1], 2 + generator.permutation(len(measured) - 2)[: count - 2]])
        model = fit_latency_model({name: values[kept] for name, values in columns.items()}, measured[kept])
        predicted.append(model.predict(unseen))
    return HeldOut.of(np.concatenate(predicted), np.tile(ms, 20))


def main() -> None:
    """Profiles, measures, prints a table and writes the figures."""
    parser = argparse.ArgumentParser(description="held-out error of the latency model on a MobileNetV3-style space")
    parser.add_argument("--space", default="kernels", choices=("kernels", "all_widths"))
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--anchors", type=int, default=40)
    parser.add_argument("--blocks", type=int, default=240, help="timed alone, at most")
    parser.add_argument("--held-out", type=int, default=40)
    parser.add_argument("--visits", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=60.0, help="for each measurement")
    parser.add_argument("--clock", default="wall", help="wall, or cpu on a busy machine")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    supernet, runtime = build(chosen.space), make_runtime(chosen.runtime)
    protocol: dict[str, Any] = {"visits": chosen.visits, "seconds": chosen.seconds, "clock": chosen.clock}
    begun = time.monotonic()
    profile = profile_device(
        supernet, runtime, anchors=chosen.anchors, blocks=chosen.blocks, seed=chosen.seed, **protocol
    )
    took = time.monotonic() - begun
    generator = np.random.default_rng(chosen.seed + 1)
    drawn = [supernet.space.sample(generator) for _ in range(chosen.held_out)]
    best = winners(supernet, profile, chosen.seed)
    archs = [*drawn, *best]
    first, second = (
        np.array([one.ms for one in measure_archs(supernet, archs, runtime, profile=profile, seed=seed, **protocol)])
        for seed in (1, 2)
    )
    held, won = slice(0, len(drawn)), slice(len(drawn), None)
    predicted = profile.predict_archs(supernet, archs)
    table = profile.table(supernet)
    assert table is not None
    raw = table.sums(archs)["table_ms"]
    features = {name: np.array([anchor.costs[name] for anchor in profile.anchors]) for name in profile.anchors[0].costs}
    anchors_ms = np.array([anchor.ms for anchor in profile.anchors])
    by_macs = fit_latency_model(features, anchors_ms, forms=[BASELINE])
    no_table = fit_latency_model(features, anchors_ms, forms=[form for form in FORMS if TABLE not in form])
    costs = ofa.cost(supernet, archs)
    found = {
        "latency model, cross-validated on its anchors": profile.model.held_out,
        "latency model, uniform draws": HeldOut.of(predicted[held], first[held]),
        "latency model, search winners": HeldOut.of(predicted[won], first[won]),
        "latency model from 10 anchors, uniform draws": with_fewer(supernet, profile, drawn, first[held], 10),
        "table of blocks, raw sum": HeldOut.of(raw[held], first[held]),
        "costs without a table": HeldOut.of(no_table.predict(costs)[held], first[held]),
        "MACs alone": HeldOut.of(by_macs.predict(costs)[held], first[held]),
        "MACs alone, search winners": HeldOut.of(by_macs.predict(costs)[won], first[won]),
        "measured again": HeldOut.of(second, first),
    }
    many = [supernet.space.sample(generator) for _ in range(10_000)]
    begun = time.monotonic()
    profile.predict_archs(supernet, many)
    speed = len(many) / (time.monotonic() - begun)

    print(f"{chosen.space}, {chosen.runtime}: {first.min():.3f} to {first.max():.3f} ms, clock {chosen.clock}")
    print(f"profile in {took:.0f} s: {len(profile.anchors)} anchors, {len(profile.blocks)} pieces, {profile.quality}")
    print(f"coefficients: {dict(profile.model.coefficients)}; {speed:,.0f} Archs a second\n")
    print("| | error | within 10 % | largest | Spearman | networks |\n|---|---|---|---|---|---|")
    print("\n".join(row(name, result) for name, result in found.items()))
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout.strip()
    content = {
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "hardware": describe_machine(),
        "arguments": vars(chosen),
        "runtime": runtime.describe(),
        "profile_seconds": round(took, 1),
        "pieces": len(profile.blocks),
        "quality": content_of(profile.quality),
        "coefficients": dict(profile.model.coefficients),
        "archs_a_second": round(speed),
        "errors": {name: content_of(result) for name, result in found.items()},
    }
    path = RESULTS / f"latency_model_{chosen.runtime}_{chosen.space}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
