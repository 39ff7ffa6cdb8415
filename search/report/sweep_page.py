"""The page of a sweep: targets over seeds, Pareto fronts with their spread, every search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from search.analysis.side_by_side import Band, Spread, band, spread
from search.candidates.figures import device_of
from search.report.document import Section, document, footer, header, series_color
from search.report.figures import Figure, layout, lines, markers, with_limits
from search.report.gather_sweep import SweepChoice, SweepData, SweepFronts, SweepTarget
from search.text import NOTHING, limits_text, ms_text, percent_text, times_text

TITLES = ("search", "limit", "seeds", "validation", "test accuracy", "measured", "different subnets")
CHOICE_TITLES = ("search", "seed", "limit", "validation", "test accuracy", "measured", "evaluations")
MOST_LIMITS = 8  # limits that are drawn; more would hide the fronts


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
    groups: dict[tuple[str, ...], list[SweepFronts]] = {}
    for fronts in data.fronts:
        groups.setdefault(fronts.devices, []).append(fronts)
    group_of_figure = {f"fronts-{index}": group for index, group in enumerate(groups.values())}
    return Section(
        "sweep.html",
        {
            "target_columns": TITLES,
            "targets": [target_cells(target) for target in data.targets],
            "fronts": [
                (" and ".join(group[0].devices), _fronts_note(group), name) for name, group in group_of_figure.items()
            ],
            "choice_columns": CHOICE_TITLES,
            "choices": [_choice_cells(choice) for target in data.targets for choice in target.choices],
        },
        {name: fronts_figure(group) for name, group in group_of_figure.items()},
    )


def _lead(data: SweepData) -> str:
    """How much the seed matters, at the target where it matters most."""
    spreads = [(spread([choice.validation_accuracy for choice in target.choices]), target) for target in data.targets]
    repeated = [
        (100 * (value.most - value.least), target) for value, target in spreads if value and value.most > value.least
    ]
    if not any(len(target.seeds) > 1 for target in data.targets):
        return "Each target was searched with one seed, so the spread between seeds is unknown."
    if not repeated:
        return "For every target, all seeds found subnets of the same validation accuracy."
    points, target = max(repeated, key=lambda pair: pair[0])
    limits = limits_text(target.choices[0].limits, "") or "no limit"
    where = f" on {' and '.join(target.devices)}" if len(data.devices) > 1 and len(target.devices) == 1 else ""
    alike = [
        other
        for other in data.targets
        if (other.devices, target_limit(other)) == (target.devices, target_limit(target))
    ]
    which = f" in {target.search}" if len(alike) > 1 else ""
    return (
        f"The seed matters most for {limits}{where}{which}: its {len(target.choices)} subnets differ by up to "
        f"{points:.2f} points in validation accuracy. Latencies of chosen subnets are measured at batch size 1."
    )


def _choice_cells(choice: SweepChoice) -> tuple[str, ...]:
    return (
        choice.search,
        str(choice.seed),
        limits_text(choice.limits, "≤ ") or "none",
        percent_text(choice.validation_accuracy),
        percent_text(choice.test_accuracy),
        times_text(choice.times),
        str(choice.evaluations),
    )


def target_cells(target: SweepTarget) -> tuple[str, ...]:
    """Returns a target's text under each of `TITLES`, for the page and the terminal."""
    choices = target.choices
    return (
        target.search,
        target_limit(target),
        seeds_text(target.seeds),
        percent_spread(spread([choice.validation_accuracy for choice in choices])),
        percent_spread(spread_of_test(choices)),
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
    """Returns the test accuracy over seeds; None unless every one of them was extracted."""
    extracted = [choice.test_accuracy for choice in choices if choice.test_accuracy is not None]
    return spread(extracted) if len(extracted) == len(choices) else None


def percent_spread(value: Spread | None) -> str:
    """Returns fractions as "98.61 ± 0.12 %"; without the spread for a single value."""
    if value is None:
        return NOTHING
    around = "" if value.deviation is None else f" ± {100 * value.deviation:.2f}"
    return f"{100 * value.mean:.2f}{around} %"


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


def _fronts_note(fronts: Sequence[SweepFronts]) -> str:
    devices, seeds = fronts[0].devices, max(len(kind.by_seed) for kind in fronts)
    where = f" on {devices[0]}, the first device" if len(devices) > 1 else ""
    text = f"Best accuracy among the evaluated candidates within each predicted latency{where}"
    if seeds > 1:
        text += ": the line is the mean over seeds, the area spans all seeds, where every seed has a candidate"
    return f"{text}. All limits of a seed count together. Stars mark the chosen subnets at their measured latency."


def fronts_figure(fronts: Sequence[SweepFronts]) -> Figure:
    """Returns mean, least and most accuracy over predicted latency, one color per kind of search of the same devices.

    Stars are the chosen subnets at their measured latency, one for each seed and limit.
    """
    traces: list[Figure] = []
    for index, kind in enumerate(fronts):
        color, name = series_color(index), escape(kind.kind or "searches")
        reached = band(list(kind.by_seed.values()), _end(kind))
        several = len(kind.by_seed) > 1
        if several:
            traces += _area(reached, name, color)
        front = f"{name}: {'mean front' if several else 'front'}"
        traces.append(_steps(reached, reached.mean, front, color) | {"legendgroup": name})
        traces.append(_chosen(kind.choices, name, color))
    devices = fronts[0].devices
    where = f" on {escape(devices[0])}" if len(devices) > 1 else ""
    frame = layout(f"latency{where}, ms (batch 1)", "validation accuracy, %", height=460)
    limits = _limits(fronts)
    if len(limits) <= MOST_LIMITS:
        frame = with_limits(frame, limits)
    return {"data": traces, "layout": frame}


def _area(reached: Band, name: str, color: str) -> list[Figure]:
    """The area between the least and the most accuracy of the seeds."""
    shared = {"line": {"width": 0, "shape": "hv", "color": color}, "hoverinfo": "skip", "legendgroup": name}
    low = _steps(reached, reached.least, name, color) | shared | {"showlegend": False, "mode": "lines"}
    high = _steps(reached, reached.most, f"{name}: range over seeds", color) | shared | {"mode": "lines"}
    return [low, high | {"fill": "tonexty", "fillcolor": f"{color}/0.2"}]


def _steps(reached: Band, accuracy: Sequence[float], name: str, color: str) -> Figure:
    texts = [
        f"within {ms_text(ms)}: {percent_text(mean)} (seeds from {percent_text(low)} to {percent_text(high)})"
        for ms, low, mean, high in zip(reached.ms, reached.least, reached.mean, reached.most, strict=True)
    ]
    line = lines(name, reached.ms, [100 * value for value in accuracy], color=color, width=2.2, shape="hv")
    mode = "lines+markers" if len(reached.ms) == 1 else "lines"
    return line | {"mode": mode, "text": texts, "hovertemplate": "%{text}<extra></extra>"}


def _chosen(choices: Sequence[SweepChoice], name: str, color: str) -> Figure:
    return markers(
        f"{name}: chosen (measured)",
        map(_first_time, choices),
        [100 * choice.validation_accuracy for choice in choices],
        map(_text, choices),
        color=color,
        symbol="star",
        size=12,
        line={"width": 1.2, "color": "$page"},
    ) | {"legendgroup": name}


def _text(choice: SweepChoice) -> str:
    head = f"<b>{escape(limits_text(choice.limits) or 'no limit')}, seed {choice.seed}</b>"
    measured = ms_text(_first_time(choice))
    return f"{head}<br>{percent_text(choice.validation_accuracy)} on validation, {measured} measured"


def _first_time(choice: SweepChoice) -> float:
    """The measured ms on the first device."""
    return next(iter(choice.times.values()))


def _end(fronts: SweepFronts) -> float:
    """The largest relevant latency of these searches: a limit, or the time of a chosen subnet."""
    return max([*map(_first_time, fronts.choices), *_limits([fronts])])


def _limits(fronts: Sequence[SweepFronts]) -> list[float]:
    """The latency limits of the first device, ascending."""
    limits = {choice.limits.get(next(iter(choice.times))) for kind in fronts for choice in kind.choices}
    return sorted(limit for limit in limits if limit is not None)
