"""Targets of a sweep in words: figures with their spread over seeds, in cells that page and terminal share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search.figures import device_of
from search.report.numbers import NOTHING, limits_text, ms_text
from search.report.sweep_data import SweepChoice, SweepTarget
from search.spread import Spread, spread

TITLES = ("search", "limit", "seeds", "validation", "test accuracy", "measured", "different subnets")


def target_cells(target: SweepTarget) -> tuple[str, ...]:
    """Returns a target's text under each of `TITLES`."""
    choices = target.choices
    return (
        target.search,
        target_limit(target),
        seeds_text(target.seeds),
        percent_spread(spread([choice.validation_accuracy for choice in choices])),
        percent_spread(test_spread(choices)),
        times_spread(choices),
        f"{target.distinct} of {len(choices)}",
    )


def target_limit(target: SweepTarget) -> str:
    """Returns the limits of a target; where those of the seeds differ, from the least to the most of latency."""
    texts = list(dict.fromkeys(limits_text(choice.limits, "≤ ") or "none" for choice in target.choices))
    if len(texts) == 1:
        return texts[0]
    ordered = sorted(target.choices, key=lambda choice: tuple(choice.limits.values()))
    return f"{limits_text(ordered[0].limits, '≤ ')} to {limits_text(ordered[-1].limits, '')}"


def seeds_text(seeds: Sequence[int]) -> str:
    """Returns seeds as "0 to 4" where they are in a row, else as "0, 2, 7"."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def test_spread(choices: Sequence[SweepChoice]) -> Spread | None:
    """Returns the test accuracy over seeds; None unless every one of them was extracted."""
    known = [choice.test_accuracy for choice in choices if choice.test_accuracy is not None]
    return spread(known) if len(known) == len(choices) else None


def percent_spread(value: Spread | None) -> str:
    """Returns fractions as "98.61 ± 0.12 %"; without the spread where there is one value."""
    if value is None:
        return NOTHING
    around = "" if value.deviation is None else f" ± {100 * value.deviation:.2f}"
    return f"{100 * value.mean:.2f}{around} %"


def ms_spread(value: Spread | None) -> str:
    """Returns milliseconds as "0.0286 ± 0.0003 ms"; without the spread where there is one value."""
    if value is None or value.deviation is None:
        return ms_text(None if value is None else value.mean)
    digits = max(2 - math.floor(math.log10(value.mean)), 0) if value.mean > 0 else 0
    return f"{value.mean:.{digits}f} ± {value.deviation:.{digits}f} ms"


def times_spread(choices: Sequence[SweepChoice]) -> str:
    """Returns what was measured over seeds, on each device where there are several."""
    texts = []
    for name in choices[0].times:
        device = device_of(name)
        text = ms_spread(spread([choice.times[name] for choice in choices]))
        texts.append(f"{text} on {device}" if device else text)
    return ", ".join(texts)
