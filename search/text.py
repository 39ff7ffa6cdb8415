"""Numbers as text for people, with their unit; a dash for a missing value."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping

from search.candidates.figures import device_of, is_latency

NOTHING = "-"


def capitalized(text: str) -> str:
    """Returns a text with a capital at its begin; a name with capitals of its own, such as "mAP", stays as it is."""
    word = text.split(" ", 1)[0]
    return text if word != word.lower() else text[:1].upper() + text[1:]


def percent_text(fraction: float | None, digits: int = 2) -> str:
    """Returns a fraction in [0, 1] as "98.61 %"."""
    return NOTHING if fraction is None else f"{100 * fraction:.{digits}f} %"


def ms_text(value: float | None) -> str:
    """Returns milliseconds with three significant digits."""
    if value is None:
        return NOTHING
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(digits, 0)}f} ms"


_LARGEST = sys.float_info.max


def count_text(count: float | None) -> str:
    """Returns a count as "950", "12.3 k", "4.56 M" or "1.20 G"; from 10^15 on as its power of ten, "10^308"."""
    if count is None:
        return NOTHING
    if count >= 1e15:
        return f"10^{len(str(count)) - 1 if isinstance(count, int) else math.floor(math.log10(min(count, _LARGEST)))}"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            value = count / size
            return f"{value:.{0 if value >= 100 else 1 if value >= 10 else 2}f} {unit}"
    return f"{count:.0f}"


def bytes_text(count: float | None) -> str:
    """Returns bytes as "950 B", "12.3 kB" or "4.56 MB"."""
    if count is None:
        return NOTHING
    text = count_text(count)
    return f"{text}B" if text[-1].isalpha() else f"{text} B"


OF_BYTES = {
    **{"bytes": "", "bytes_on_disk": " on disk", "peak_activation_bytes": " of activations"},
    **{"int8_bytes": " in int8", "int8_peak_bytes": " between layers in int8"},
}


def cost_text(name: str, value: float | None) -> str:
    """Returns a figure as "0.250 ms", "3.00 ms on laptop", "1.20 M params" or "200 kB of activations"."""
    if is_latency(name):
        device = device_of(name)
        return f"{ms_text(value)} on {device}" if device else ms_text(value)
    if name in OF_BYTES:
        return bytes_text(value) + OF_BYTES[name]
    return f"{count_text(value)} {'MACs' if name == 'macs' else name}"


def times_text(times: Mapping[str, float]) -> str:
    """Returns latencies by figure as "0.250 ms", or "0.250 ms on laptop, 3.00 ms on phone"."""
    return ", ".join(cost_text(name, value) for name, value in times.items())


def limits_text(limits: Mapping[str, float], sign: str = "limit ") -> str:
    """Returns the limits of a target, latencies first, such as "limit 0.250 ms, 1.20 M params"; empty without any."""
    ordered = sorted(limits, key=lambda name: not is_latency(name))
    return sign + ", ".join(cost_text(name, limits[name]) for name in ordered) if limits else ""


def noise_text(alike: int) -> str:
    """Returns in words that other candidates differ by less than two standard errors; empty where none does."""
    if not alike:
        return ""
    others = "1 other candidate is" if alike == 1 else f"{alike} other candidates are"
    return f"; {others} as good within noise (2 standard errors)"


def signed_points(difference: float | None) -> str:
    """Returns a difference of fractions in percentage points, with its sign, such as "-0.28 points"."""
    if difference is None:
        return NOTHING
    sign = "\N{MINUS SIGN}" if difference < -5e-5 else "+" if difference > 5e-5 else "±"
    return f"{sign}{abs(100 * difference):.2f} points"
