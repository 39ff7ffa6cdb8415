"""What this machine is, as far as the operating system says.

Only the standard library: also part of the script that measures on a device without this toolkit.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

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

    What the operating system does not tell is left out.
    """
    info = _cpu_info()
    model = info.get("model name") or info.get("Model") or platform.processor() or platform.machine()
    flags = set((info.get("flags") or info.get("Features") or "").split())
    found: dict[str, Any] = {
        "name": name or model,
        "cpu_model": model,
        "isa": [platform.machine(), *(flag for flag in INSTRUCTION_SETS if flag in flags)],
        "cores": _cores(),
        "ram_bytes": _ram_bytes(),
        "os": f"{platform.system()} {platform.release()}",
        "governor": _text(Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")),
    }
    return {key: value for key, value in found.items() if value}


def temperature_celsius(zones: Path = Path("/sys/class/thermal")) -> float | None:
    """Returns the highest temperature that a sensor of this machine says, None where none does."""
    said = [_text(path) for path in zones.glob("thermal_zone*/temp")]
    known = [int(text) / 1000 for text in said if text.lstrip("-").isdigit()]
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
