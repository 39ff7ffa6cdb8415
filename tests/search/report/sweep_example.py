"""A made-up SweepData: two devices, two limits, three seeds on one of them."""

from __future__ import annotations

from ofa.arch import Arch
from search.report.gather_sweep import SweepChoice, SweepData, SweepFronts, SweepTarget
from tests.search.scored import ACCURACY, score


def choice(limit: float | None, seed: int, *, test: float | None = 0.95, width: int = 8) -> SweepChoice:
    return SweepChoice(
        search=f"laptop-{limit}ms" + (f"-seed{seed}" if seed else ""),
        seed=seed,
        limits={} if limit is None else {"latency_ms": limit},
        arch=Arch.from_dict({"width": {"stem": width}}),
        metric=ACCURACY,
        validation=score(0.9 + 0.01 * seed),
        test=None if test is None else score(test),
        times={"latency_ms": 0.9 * (limit or 2.0) + 0.01 * seed},
        evaluations=40,
    )


def sweep_example(name: str = "demo") -> SweepData:
    """Returns a sweep with several seeds on a laptop and one on a phone."""
    one = tuple(choice(1.0, seed, width=8 * (1 + seed // 2)) for seed in range(3))
    two = tuple(choice(2.0, seed, test=None if seed == 1 else 0.96) for seed in range(3))
    phone = (choice(4.0, 0),)
    fronts = {seed: ((0.5 + 0.1 * seed, 0.8), (0.9, 0.9 + 0.01 * seed)) for seed in range(3)}
    return SweepData(
        run=name,
        targets=(
            SweepTarget("laptop-1ms", ("laptop",), one),
            SweepTarget("laptop-2ms", ("laptop",), two),
            SweepTarget("phone-4ms", ("phone",), phone),
        ),
        fronts=(
            SweepFronts(("laptop",), "", ACCURACY, fronts, (*one, *two)),
            SweepFronts(("laptop",), "tpe", ACCURACY, {0: fronts[0]}, one[:1]),
            SweepFronts(("phone",), "", ACCURACY, {0: ((3.0, 0.9),)}, phone),
        ),
        unfinished=("laptop-8ms",),
        commands=("ofa sweep run=demo",),
        versions={"ofa-search": "0.1.0"},
    )
