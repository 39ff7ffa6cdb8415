"""The finalists of a search: measured on every device of it, as the content of finalists.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ofa.arch import Arch
from search.app.device import show_measuring
from search.app.devices import SearchDevice
from search.figures import is_latency
from search.finalists import Finalist, choose_finalists
from search.locks import measuring
from search.measure import MeasuredArch, measure_archs
from search.paths import RunFolder
from search.plan import SearchPlan
from search.progress import say, stage_progress
from search.report.numbers import limits_text, percent_text, times_text
from search.trained import Trained
from search.trials import TrialRow

# What Archs take on devices that are other machines, by the name of the latency figure.
Elsewhere = Callable[[Sequence[SearchDevice], Sequence[Arch], Mapping[str, Any]], Mapping[str, Sequence[MeasuredArch]]]


def find_finalists(
    run: RunFolder,
    trained: Trained,
    devices: Sequence[SearchDevice],
    settings: Mapping[str, Any],
    rows: Sequence[TrialRow],
    plan: SearchPlan,
    learn: Callable[[SearchDevice, Sequence[MeasuredArch]], None],
    elsewhere: Elsewhere,
) -> dict[str, Any]:
    """Returns what was chosen for every target, by measurement on every device, as JSON-able values.

    Args:
        settings: how to measure (`search.finalists` of the configuration).
        learn: is given what was measured on each device at the end.
        elsewhere: gives what Archs take on devices that are other machines, by the name of the latency figure, for
            the settings of a measurement.
    """
    measured: dict[str, list[MeasuredArch]] = {device.figure: [] for device in devices}
    protocol = dict(settings)
    top = int(protocol.pop("candidates"))
    with stage_progress("measure") as update:

        def measure(archs: Sequence[Arch]) -> dict[str, list[float]]:
            # First, as what has to be measured there first ends the search for now.
            for figure, ones in elsewhere([device for device in devices if device.remote], archs, protocol).items():
                measured[figure] += ones
            for device in (device for device in devices if not device.remote):
                with measuring(run, "search: other jobs measure or evaluate on this machine; waiting to measure"):
                    measured[device.figure] += measure_archs(
                        trained.supernet,
                        archs,
                        device.make_runtime(),
                        profile=device.profile,
                        progress=lambda row: show_measuring(row, update),
                        **protocol,
                    )
            return {name: [one.ms for one in found[-len(archs) :]] for name, found in measured.items()}

        chosen = choose_finalists(rows, plan.limits.targets, measure, latencies=plan.latencies, top=top)
    for device in devices:
        learn(device, measured[device.figure])
    for finalist in chosen:
        say(f"search: {_finalist_text(finalist)}")
    quality = {name: {"verdict": found[-1].verdict, "drift": found[-1].drift} for name, found in measured.items()}
    return {
        "device": devices[0].profile.name,
        "devices": {device.figure: device.profile.name for device in devices},
        "margin": plan.limits.to_dict()["margin"],
        "finalists": [finalist.to_dict() for finalist in chosen],
        "largest": _largest(plan, measured),
        "measurement": quality[devices[0].figure],
        "measurements": quality,
    }


def _largest(plan: SearchPlan, measured: Mapping[str, Sequence[MeasuredArch]]) -> dict[str, Any]:
    """The largest subnet, which was measured beside all others; "predicted_ms" and such are the first device's."""
    largest = plan.space.largest
    figures = {name: float(values[0]) for name, values in plan.figures([largest]).items()}
    predicted = {name: figures[name] for name in measured}
    times = {name: float(np.median([one.ms / one.relative for one in found])) for name, found in measured.items()}
    return {
        "arch": largest.arch.to_dict(),
        "predicted_ms": next(iter(predicted.values())),
        "measured_ms": next(iter(times.values())),
        "predicted": predicted,
        "measured": times,
        "figures": {name: value for name, value in figures.items() if not is_latency(name)},
    }


def _finalist_text(finalist: Finalist) -> str:
    chosen = finalist.chosen
    missed = f", after {len(finalist.missed)} that missed" if finalist.missed else ""
    return (
        f"{limits_text(finalist.target) or 'no limit'}: {percent_text(chosen.accuracy)} on validation, "
        f"{times_text(chosen.measured)} measured ({times_text(chosen.predicted)} predicted){missed}"
    )
