"""The machine: its description, as the operating system reports it, its drift, and whether rounds of visits agree.

Only the standard library and NumPy: also part of the script that measures on a device without this toolkit.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

INSTRUCTION_SETS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "amx_int8",
    "asimd",
    "asimddp",
    "i8mm",
    "sve",
)


def describe_machine(name: str | None = None) -> dict[str, Any]:
    """Returns name (the processor's where none is given), cpu_model, isa, cores, ram_bytes, os and governor.

    Facts that the operating system does not report are left out.
    """
    info = _cpu_info()
    model = info.get("model name") or info.get("Model") or platform.processor() or platform.machine()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    facts: dict[str, Any] = {
        "name": name or model,
        "cpu_model": model,
        "isa": [platform.machine(), *(flag for flag in INSTRUCTION_SETS if flag in flags)],
        "cores": _cores(),
        "ram_bytes": _ram_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "governor": _text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
    }
    return {key: value for key, value in facts.items() if value}


def temperature_celsius(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """Returns the highest temperature that a sensor of this machine reports, None without a sensor."""
    readings = [_text(path) for path in zones.glob("thermal_zone*/temp")]
    known = [int(text) / 1000 for text in readings if text.lstrip("-").isdigit()]
    return max(known, default=None)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ram_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def _cpu_info() -> dict[str, str]:
    """Returns the first processor's lines of /proc/cpuinfo, and the board's where there is one."""
    pairs: dict[str, str] = {}
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        key, separator, value = line.partition(":")
        if separator:
            pairs.setdefault(key.strip(), value.strip())
    return pairs


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


Floats = np.ndarray[Any, np.dtype[np.float64]]

QUANTILE = 0.25  # a low quantile: the mean was off by 56 % and the minimum by 2.8 % where this one was by 0.8 %

OK_WITHIN = 0.02

DRIFT_WINDOW = 5  # rounds: the sentinel's own noise is smoothed before it is divided out


def drift(sentinel_ms: Floats) -> Floats:
    """Returns how slow the machine was in each round: the sentinel's visits (V,) in ms to factors around 1.

    A low quantile over a few neighboring rounds: a disturbed visit of the sentinel must not distort the others.
    """
    reach = DRIFT_WINDOW // 2
    smooth = np.array(
        [np.quantile(sentinel_ms[max(0, i - reach) : i + reach + 1], QUANTILE) for i in range(len(sentinel_ms))]
    )
    factors: Floats = smooth / np.quantile(smooth, QUANTILE)
    return factors


def disagreement(samples: Floats) -> float:
    """Returns how far odd and even visits are apart: samples (V, N) in ms to a mean relative difference.

    Two halves of the same minutes should agree; nothing else reveals a busy machine.
    """
    odd, even = (np.quantile(samples[start::2], QUANTILE, axis=0) for start in (1, 0))
    return float(np.mean(np.abs(odd - even) / (0.5 * (odd + even))))
