"""A made-up ReportData with every part of the page in it."""

from __future__ import annotations

import numpy as np

from search.report.data import AnchorPrediction, Choice, Chosen, DeviceResult, ReportData, Trial
from search.run.training_cards import Epoch
from tests.search.scored import ACCURACY, score

CHOICES = (
    Choice("depth", "stages.0", (1, 2)),
    Choice("depth", "stages.1", (1, 2, 3)),
    Choice("width", "stem.conv", (8, 16, 24, 32)),
    Choice("width", "stages.0.0.conv1", (8, 16, 32)),
    Choice("width", "stages.0.1.conv1", (8, 16, 32)),
    Choice("width", "stages.1.0.conv1", (16, 32, 48, 64)),
    Choice("width", "stages.1.0.conv2", (16, 32, 48, 64)),
    Choice("width", "stages.1.1.conv1", (16, 32, 48, 64)),
    Choice("width", "stages.1.2.conv1", (16, 32, 48, 64)),
    Choice("kernel_size", "stages.1.0.conv1", (3, 5)),
)


def draw(rng: np.random.Generator) -> dict[str, int]:
    """Returns the values of a random Arch, inactive choices absent."""
    values = {choice.key: int(rng.choice(choice.values)) for choice in CHOICES}
    for depth in CHOICES[:2]:
        for block in range(values[depth.key], depth.values[-1]):
            values = {key: value for key, value in values.items() if f".{depth.name}.{block}." not in key}
    return values


def example(name: str = "demo", trials: int = 180, seed: int = 0) -> ReportData:
    """Returns a run with one device, three chosen subnets, refused trials and a short history."""
    rng = np.random.default_rng(seed)
    made = [_trial(number, draw(rng), rng) for number in range(trials)]
    limits = (0.06, 0.09, 0.12)
    chosen = tuple(_chosen(limit, made) for limit in limits)
    largest = {choice.key: choice.values[-1] for choice in CHOICES}
    anchors = tuple(
        AnchorPrediction(value, float(value * rng.normal(1, 0.025)), draw(rng))
        for value in rng.uniform(0.04, 0.16, 30).tolist()
    )
    device = DeviceResult(
        name="onnxruntime",
        device="onnxruntime",
        description={"runtime": "onnxruntime 1.30", "processor": "AMD EPYC", "threads": "1"},
        anchors=anchors,
        held_out_error=0.021,
        macs_only_error=0.064,
        quality="ok",
        trials=tuple(made),
        chosen=chosen,
        largest=Chosen(
            "onnxruntime", None, 0.158, 0.160, score(0.994), score(0.9917), 2_100_000, 88_000, 352_000, largest, ""
        ),
        metric=ACCURACY,
    )
    return ReportData(
        run=name,
        summary={"model": "digits_net", "data": "digits", "subnets in the space": "1.2 M"},
        choices=CHOICES,
        history=tuple(
            Epoch(
                epoch=epoch,
                step=10 * epoch,
                loss=2.3 * 0.88**epoch + 0.3,
                learning_rate=0.1,
                seconds=float(epoch),
                scores={
                    "largest": {"accuracy": 0.995 - 0.5 * 0.8**epoch},
                    "smallest": {"accuracy": 0.98 - 0.7 * 0.85**epoch},
                },
            )
            for epoch in range(1, 31)
        ),
        metric=ACCURACY,
        devices=(device,),
        commands=("ofa run run=demo", "ofa dashboard run=demo"),
        digests={"supernet": "0123456789abcdef", "configuration": "fedcba9876543210"},
        config="model:\n  _target_: ofa.models.ResNet\n",
        versions={"ofa-search": "0.1.0", "torch": "2.13.0"},
    )


def _trial(number: int, arch: dict[str, int], rng: np.random.Generator) -> Trial:
    size = sum(value for key, value in arch.items() if key.startswith("width.")) / 340
    latency = 0.03 + 0.13 * size + float(rng.normal(0, 0.004))
    feasible = latency <= 0.12
    accuracy = min(0.998, 0.994 - 0.03 * (1 - size) ** 2 + float(rng.normal(0, 0.0025)))
    reached = score(accuracy) if feasible else None
    return Trial(number, reached, latency, int(2.1e6 * size), int(88e3 * size), arch, feasible)


def _chosen(limit: float, trials: list[Trial]) -> Chosen:
    within = [(trial, trial.score) for trial in trials if trial.score is not None and (trial.latency_ms or 0) <= limit]
    best, reached = max(within, key=lambda pair: pair[1].value)
    measured = (best.latency_ms or 0) * 0.985
    folder = f"outputs/demo/subnets/onnxruntime-{limit}ms"
    return Chosen(
        "onnxruntime", limit, best.latency_ms, measured, reached, score(reached.value - 0.004),
        best.macs, best.params, 4 * (best.params or 0), best.arch, folder, limits={"latency_ms": limit},
    )  # fmt: skip
