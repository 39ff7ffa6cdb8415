"""The page of a sweep: targets over seeds, Pareto fronts with their spread, every search."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ofa.task.metric import text_with_error
from search.analysis.side_by_side import Spread, spread
from search.candidates.figures import device_of
from search.device.workload import USUAL, Workload
from search.report.document import Section, document, footer, header
from search.report.gather_sweep import SweepChoice, SweepData, SweepFronts, SweepTarget
from search.report.sweep_fronts import fronts_figure, fronts_note
from search.run.scores import MetricFacts
from search.text import NOTHING, limits_text, ms_text, times_text

TITLES = ("search", "limit", "seeds", "metric", "validation", "test", "measured", "different subnets")
CHOICE_TITLES = ("search", "seed", "limit", "metric", "validation", "test", "measured", "evaluations")


def render_sweep(data: SweepData) -> str:
    """Returns the self-contained page: scripts and styles are inline, nothing is fetched."""
    count = len(data.searches)
    searches = "One search" if count == 1 else f"{count} searches"
    headline = f"{searches} over one supernet, for {' and '.join(data.devices)}"
    sections = [
        header(f"ofa · sweep of run {data.run}", headline, _lead(data), _facts(data)),
        _searches(data),
        footer("How to reproduce", data.commands, data.versions),
    ]
    return document(f"{data.run} · ofa sweep", sections)


def _facts(data: SweepData) -> dict[str, str]:
    seeds = "seed" if len(data.seeds) == 1 else "seeds"
    facts = {"targets": str(len(data.targets)), seeds: seeds_text(data.seeds)}
    return facts | ({"not finished": ", ".join(data.unfinished)} if data.unfinished else {})


def _searches(data: SweepData) -> Section:
    """Targets over seeds, a figure of the fronts on each group of devices, and every search."""
    groups: dict[tuple[tuple[str, ...], MetricFacts, Workload], list[SweepFronts]] = {}
    for fronts in data.fronts:
        groups.setdefault((fronts.devices, fronts.metric, fronts.workload), []).append(fronts)
    group_of_figure = {f"fronts-{index}": group for index, group in enumerate(groups.values())}
    return Section(
        "sweep.html",
        {
            "target_columns": TITLES,
            "targets": [target_cells(target) for target in data.targets],
            "fronts": [
                (" and ".join(group[0].devices), group[0].metric.title, fronts_note(group), name)
                for name, group in group_of_figure.items()
            ],
            "choice_columns": CHOICE_TITLES,
            "choices": [_choice_cells(choice) for target in data.targets for choice in target.choices],
        },
        {name: fronts_figure(group) for name, group in group_of_figure.items()},
    )


def _lead(data: SweepData) -> str:
    """How much the seed matters, at the target where it matters most."""
    spreads = [(spread([choice.validation.value for choice in target.choices]), target) for target in data.targets]
    repeated = [
        ((value.most - value.least) / (abs(value.mean) or 1.0), value, target)
        for value, target in spreads
        if value and value.most > value.least
    ]
    if not any(len(target.seeds) > 1 for target in data.targets):
        return "Each target was searched with one seed, so the spread between seeds is unknown."
    if not repeated:
        return "For every target, all seeds found subnets of the same score on validation."
    _, value, target = max(repeated, key=lambda row: row[0])
    metric = target.choices[0].metric
    unit = " points" if metric.unit == "%" else f" {metric.unit}".rstrip()
    apart = f"{metric.shown(value.most - value.least):{'.2f' if metric.unit == '%' else '.3g'}}{unit}"
    limits = limits_text(target.choices[0].limits, "") or "no limit"
    where = f" on {' and '.join(target.devices)}" if len(data.devices) > 1 and len(target.devices) == 1 else ""
    alike = [
        other
        for other in data.targets
        if (other.devices, target_limit(other)) == (target.devices, target_limit(target))
    ]
    which = f" in {target.search}" if len(alike) > 1 else ""
    manner = " or ".join(dict.fromkeys(fronts.workload.manner for fronts in data.fronts)) or USUAL.manner
    return (
        f"The seed matters most for {limits}{where}{which}: its {len(target.choices)} subnets differ by up to "
        f"{apart} in {metric.title} on validation. Latencies of chosen subnets are measured {manner}."
    )


def _choice_cells(choice: SweepChoice) -> tuple[str, ...]:
    return (
        choice.search,
        str(choice.seed),
        limits_text(choice.limits, "≤ ") or "none",
        choice.metric.heading(),
        choice.metric.text(choice.validation),
        choice.metric.text(choice.test),
        times_text(choice.times),
        str(choice.evaluations),
    )


def target_cells(target: SweepTarget) -> tuple[str, ...]:
    """Returns a target's text under each of `TITLES`, for the page and the terminal."""
    choices, metric = target.choices, target.choices[0].metric
    return (
        target.search,
        target_limit(target),
        seeds_text(target.seeds),
        metric.heading(),
        score_spread(spread([choice.validation.value for choice in choices]), metric),
        score_spread(spread_of_test(choices), metric),
        times_spread(choices),
        f"{target.distinct} of {len(choices)}",
    )


def target_limit(target: SweepTarget) -> str:
    """Returns the limits of a target; if the seeds differ, the range from the least to the largest latency."""
    texts = list(dict.fromkeys(limits_text(choice.limits, "≤ ") or "none" for choice in target.choices))
    if len(texts) == 1:
        return texts[0]
    ordered = sorted(target.choices, key=lambda choice: tuple(choice.limits.values()))
    return f"{limits_text(ordered[0].limits, '≤ ')} to {limits_text(ordered[-1].limits, '')}"


def seeds_text(seeds: Sequence[int]) -> str:
    """Returns seeds as "0 to 4" if consecutive, else as "0, 2, 7"."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def spread_of_test(choices: Sequence[SweepChoice]) -> Spread | None:
    """Returns the score on test over seeds; None unless every one of them was extracted."""
    extracted = [choice.test.value for choice in choices if choice.test is not None]
    return spread(extracted) if len(extracted) == len(choices) else None


def score_spread(value: Spread | None, metric: MetricFacts) -> str:
    """Returns values of a metric as "98.61 ± 0.12 %"; without the spread for a single value."""
    if value is None:
        return NOTHING
    around = None if value.deviation is None else metric.shown(value.deviation)
    return text_with_error(metric.shown(value.mean), around, metric.unit)


def ms_spread(value: Spread | None) -> str:
    """Returns milliseconds as "0.0286 ± 0.0003 ms"; without the spread for a single value."""
    if value is None or value.deviation is None:
        return ms_text(None if value is None else value.mean)
    digits = max(2 - math.floor(math.log10(value.mean)), 0) if value.mean > 0 else 0
    return f"{value.mean:.{digits}f} ± {value.deviation:.{digits}f} ms"


def times_spread(choices: Sequence[SweepChoice]) -> str:
    """Returns the measured times over seeds, on each device if there are several."""
    texts = []
    for name in choices[0].times:
        device = device_of(name)
        text = ms_spread(spread([choice.times[name] for choice in choices]))
        texts.append(f"{text} on {device}" if device else text)
    return ", ".join(texts)
