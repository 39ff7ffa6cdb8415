"""Two made-up devices, one quick with few wide layers and one with many thin ones, and what was chosen for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import structs

from ofa.arch import Arch
from search.candidates.search_files import Finalist, Finalists, MeasuredSubnet, MeasuredTrial, MeasurementQuality
from search.device.measure_archs import MeasuredArch
from search.run.result_files import Comparison
from search.subnets.chosen import ChosenSubnet, chosen_subnets
from search.subnets.compare import MeasuredDevice, comparison
from tests.search.profiles import timing
from tests.search.scored import ACCURACY, scored, scores_of


def arch(first: int, second: int, *, width: int) -> Arch:
    """Returns an Arch of the choices in tests/search/report/example.py: blocks of both stages, channels of all."""
    layers = ["stem.conv", "stages.0.0.conv1", "stages.1.0.conv1", "stages.1.0.conv2"]
    layers += ["stages.0.1.conv1"] * (first > 1) + [f"stages.1.{block}.conv1" for block in range(1, second)]
    return Arch(width=dict.fromkeys(layers, width), depth={"stages.0": first, "stages.1": second})


WIDE, THIN = arch(1, 1, width=32), arch(2, 3, width=16)
MIDDLE, LARGEST = arch(2, 2, width=32), arch(2, 3, width=64)
MS = {  # largest last
    "laptop": {WIDE: 2.0, THIN: 6.4, MIDDLE: 4.0, LARGEST: 8.0},
    "phone": {WIDE: 60.0, THIN: 24.0, MIDDLE: 44.0, LARGEST: 100.0},
}
TEST = {WIDE: 0.93, THIN: 0.932, MIDDLE: 0.96, LARGEST: 0.97}


def found(device: str, limits: Mapping[float, Arch], **more: float) -> Finalists:
    """Returns what a search for one device chose."""
    return _finalists({"latency_ms": device}, [(one, {"latency_ms": limit, **more}) for limit, one in limits.items()])


def found_together(limits: Mapping[str, float], one: Arch) -> Finalists:
    """Returns what a search of several devices at once chose."""
    devices = {f"latency_ms@{device}": device for device in limits}
    return _finalists(devices, [(one, {figure: limits[device] for figure, device in devices.items()})])


def _finalists(devices: Mapping[str, str], targets: Sequence[tuple[Arch, Mapping[str, float]]]) -> Finalists:
    quality = MeasurementQuality(verdict="ok", drift=1.0)
    return Finalists(
        device=next(iter(devices.values())),
        devices=devices,
        margin=0.0,
        metrics=(ACCURACY,),
        finalists=tuple(
            Finalist(
                target=target,
                margin=None,
                chosen=MeasuredTrial(
                    trial=0, scores=scored(TEST[one] + 0.01), **structs.asdict(_measured(one, devices))
                ),
                missed=(),
            )
            for one, target in targets
        ),
        largest=_measured(LARGEST, devices),
        measurement=quality,
        measurements=dict.fromkeys(devices, quality),
    )


def _measured(one: Arch, devices: Mapping[str, str]) -> MeasuredSubnet:
    ms = {figure: MS[device][one] for figure, device in devices.items()}
    first = next(iter(ms.values()))
    return MeasuredSubnet(arch=one, predicted_ms=first, measured_ms=first, predicted=ms, measured=ms, figures={})


SEARCHES = {"laptop": found("laptop", {2.1: WIDE, 4.1: MIDDLE}), "phone": found("phone", {25.0: THIN, 48.0: MIDDLE})}


def with_largest(searches: Mapping[str, Finalists]) -> tuple[ChosenSubnet, ...]:
    """Returns what the searches chose, and the largest subnet."""
    return (*chosen_subnets(searches), ChosenSubnet(LARGEST))


def device(name: str, verdict: str = "ok") -> MeasuredDevice:
    """Returns what all subnets take on a made-up device."""
    times = MS[name]
    return MeasuredDevice(
        name=name,
        runtime=f"{name} 1.0, 1 thread",
        verdict=verdict,
        measured={
            one: MeasuredArch(one, ms, ms, ms / times[LARGEST], timing(ms), 1.0, verdict) for one, ms in times.items()
        },
    )


def compared(
    searches: Mapping[str, Finalists] = SEARCHES, devices: tuple[str, ...] = ("laptop", "phone")
) -> Comparison:
    """Returns the comparison of what searches chose."""
    return comparison(
        with_largest(searches),
        [device(name) for name in devices],
        {one: scores_of(accuracy + 0.02, accuracy) for one, accuracy in TEST.items()},
        {one: {"macs": 1000, "params": 100, "bytes": 400} for one in TEST},
        (ACCURACY,),
        comparable=1.25,
        searches="0" * 16,
    )
