"""Two made-up devices, one quick with few wide layers and one with many thin ones, and what was chosen for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ofa.arch import Arch
from search.chosen_subnets import ChosenSubnet, chosen_subnets
from search.compare import MeasuredDevice, comparison
from search.measure import MeasuredArch
from tests.search.profiles import timing


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


def found(device: str, limits: Mapping[float, Arch], **more: Any) -> dict[str, Any]:
    """Returns the content of a finalists.json of one device, in the form of older versions."""
    finalists = [
        {"target": {"latency_ms": limit_ms, **more}, "chosen": {"arch": one.to_dict(), "accuracy": TEST[one] + 0.01}}
        for limit_ms, one in limits.items()
    ]
    largest = {"arch": LARGEST.to_dict(), "measured_ms": MS[device][LARGEST]}
    return {"device": device, "finalists": finalists, "largest": largest}


def found_together(limits: Mapping[str, float], one: Arch) -> dict[str, Any]:
    """Returns the content of the finalists.json of a search of several devices at once."""
    devices = {f"latency_ms@{device}": device for device in limits}
    target = {figure: limits[device] for figure, device in devices.items()}
    return {
        "device": next(iter(limits)),
        "devices": devices,
        "finalists": [{"target": target, "chosen": {"arch": one.to_dict(), "accuracy": TEST[one] + 0.01}}],
        "largest": {
            "arch": LARGEST.to_dict(),
            "measured_ms": 0.0,
            "measured": {figure: MS[device][LARGEST] for figure, device in devices.items()},
        },
    }


SEARCHES = {"laptop": found("laptop", {2.1: WIDE, 4.1: MIDDLE}), "phone": found("phone", {25.0: THIN, 48.0: MIDDLE})}


def with_largest(searches: Mapping[str, Any]) -> tuple[ChosenSubnet, ...]:
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


def compared(searches: Mapping[str, Any] = SEARCHES, devices: tuple[str, ...] = ("laptop", "phone")) -> dict[str, Any]:
    """Returns the content of comparison.json."""
    return comparison(
        with_largest(searches),
        [device(name) for name in devices],
        {one: {"validation": accuracy + 0.02, "test": accuracy} for one, accuracy in TEST.items()},
        {one: {"macs": 1000, "params": 100, "bytes": 400} for one in TEST},
        images=1000,
        comparable=1.25,
    )
