"""The sections of searches: cards, Pareto front, finalists, architectures, latency; and all searches side by side."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ofa.task import Score
from search.analysis.side_by_side import TunedSearch, at_equal_number, best_within, limits_of, volumes
from search.candidates.figures import device_of
from search.device.workload import Workload
from search.report.data import Choice, Chosen, DeviceResult
from search.report.document import Card, Section, series_color
from search.report.effects_section import effects_section
from search.report.figures import Figure, layout, lines
from search.report.importance_section import importance_section
from search.report.interaction_section import interaction_section
from search.report.latency_section import latency_section
from search.report.pareto_section import pareto_section
from search.report.pictures import comparison_rows, silhouette
from search.run.scores import MetricFacts
from search.text import NOTHING, bytes_text, count_text, limits_text, ms_text

TUNED = ("test with the supernet's weights", "gain")
SIZES = ("MACs", "parameters", "size", "activations")

NO_LIMIT = "no limit"


def search_sections(choices: Sequence[Choice], device: DeviceResult, prefix: str, *, titled: bool) -> list[Section]:
    """Returns the sections of one search.

    Args:
        choices: the choices of the space.
        device: the search.
        prefix: the beginning of its figures' names.
        titled: whether the name of the search is the title.
    """
    sections = [
        Section("search.html", {"title": device.name if titled else "", "cards": _cards(choices, device)}),
        pareto_section(device, prefix),
        _finalists(choices, device),
    ]
    if device.analysis is not None and device.metric is not None:
        sections += [
            importance_section(device.analysis, choices, prefix),
            effects_section(device.analysis, device.trials, device.metric, prefix),
            interaction_section(device.analysis, device.trials, device.metric, prefix),
        ]
    sections.append(latency_section(device, f"{prefix}-latency"))
    return [section for section in sections if section is not None]


def _cards(choices: Sequence[Choice], device: DeviceResult) -> list[Card]:
    """A card for each chosen subnet: its limits, its score, its picture and its figures by label."""
    cards: list[Card] = []
    metric = device.metric
    if metric is None:
        return cards
    for subnet in device.chosen:
        first = next(other for other in device.chosen if other.arch == subnet.arch)
        again = "" if first is subnet else f" (same subnet as for {limits_text(first.limits, '')})"
        cards.append(
            Card(
                title=limits_text(subnet.limits, "≤ ") or NO_LIMIT,
                score=metric.text(subnet.test),
                label=f"{metric.heading('test')}{_examples(subnet.test)}{again}",
                layers=silhouette(choices, subnet.arch),
                facts=_facts(subnet, device.largest, metric, device.workload),
            )
        )
    return cards


def _examples(score: Score | None) -> str:
    return "" if score is None else f", {score.examples:,} examples"


def _facts(subnet: Chosen, largest: Chosen | None, metric: MetricFacts, workload: Workload) -> dict[str, str]:
    facts = {f"measured on {device_of(name)}": ms_text(ms) for name, ms in subnet.times.items()}
    facts = facts or {"measured": ms_text(subnet.measured_ms)}
    if not workload.is_usual and subnet.measured_ms:
        facts["rate"] = workload.rate_text(subnet.measured_ms)
    facts |= {"MACs": count_text(subnet.macs), "parameters": count_text(subnet.params)}
    if subnet.peak_activation_bytes is not None:
        facts["activations"] = bytes_text(subnet.peak_activation_bytes)
    if subnet.bytes_on_disk is not None:
        facts["coded file"] = bytes_text(subnet.bytes_on_disk)
    if largest is not None and largest.measured_ms and subnet.measured_ms:
        facts["time vs. largest"] = _shares(subnet, largest)
        if largest.test is not None and subnet.test is not None:
            is_same = subnet.arch == largest.arch and subnet.raw is None  # whose difference has no error
            apart = metric.gain_or_difference_text(subnet.from_largest, subnet.test, largest.test)
            facts[f"{metric.title} vs. largest"] = "the same network" if is_same else apart
    if subnet.raw is not None and subnet.test is not None:
        facts["before fine-tuning"] = metric.text(subnet.raw)
        facts["by fine-tuning"] = metric.gain_or_difference_text(subnet.gain, subnet.test, subnet.raw)
        if subnet.among > 1:
            facts["fine-tuned"] = f"the best of {subnet.among} on validation"
    if (low := subnet.quantized) is not None and subnet.test is not None:
        score = low.scores.test[metric.name]
        of_metric = abs(score.value - subnet.test.value - low.gain.test.value) < 1e-6  # it is of the task's first
        gain = low.gain.test if of_metric else None
        facts[f"in {low.precision}"] = metric.text(score)
        facts[f"by {low.precision}"] = metric.gain_or_difference_text(gain, score, subnet.test)
        facts[f"{low.precision} file"] = bytes_text(low.bytes)
    facts |= {other.heading(): other.text(score) for other, score in subnet.others}
    if subnet.alike:
        facts["within noise"] = f"{subnet.alike} other{'' if subnet.alike == 1 else 's'}"
    return facts


def _shares(subnet: Chosen, largest: Chosen) -> str:
    """The subnet's time as a share of the largest's, on each device."""
    pairs = [(ms, largest.times.get(name)) for name, ms in subnet.times.items()]
    pairs = pairs or [(subnet.measured_ms or 0.0, largest.measured_ms)]
    return ", ".join(f"{100 * ms / of:.0f} %" for ms, of in pairs if of)


def _finalists(choices: Sequence[Choice], device: DeviceResult) -> Section | None:
    """The chosen subnets as rows of figures, and their architectures as columns."""
    metric = device.metric
    if not device.chosen or metric is None:
        return None
    names = [device_of(name) for name in device.chosen[0].times]
    measured = [f"measured on {name}" for name in names] or ["measured"]
    predicted = f"predicted on {names[0]}" if names else "predicted"
    limit = "limits" if len(device.chosen[0].limits) > 1 else "limit"
    tuned = TUNED if any(subnet.raw is not None for subnet in device.chosen) else ()
    rows = [
        ("", _cells(subnet, limits_text(subnet.limits, "≤ ") or NO_LIMIT, metric, bool(tuned)), subnet)
        for subnet in device.chosen
    ]
    if device.largest is not None:
        rows.append(("reference", _cells(device.largest, "largest", metric, bool(tuned)), device.largest))
    return Section(
        "finalists.html",
        {
            "columns": (limit, *measured, predicted, metric.heading("test"), "validation", *tuned, *SIZES),
            "rows": rows,
            "subnets": [limits_text(subnet.limits, "") or NO_LIMIT for subnet in device.chosen],
            "choices": comparison_rows(choices, [subnet.arch for subnet in device.chosen]),
        },
    )


def _cells(subnet: Chosen, limit: str, metric: MetricFacts, tuned: bool) -> tuple[str, ...]:
    raw, test = subnet.raw, subnet.test
    gain = NOTHING if raw is None or test is None else metric.gain_or_difference_text(subnet.gain, test, raw)
    times = subnet.times.values() or (subnet.measured_ms,)
    return (
        limit,
        *(ms_text(ms) for ms in times),
        ms_text(subnet.predicted_ms),
        metric.text(subnet.test),
        metric.text(subnet.validation),
        *((metric.text(raw), gain) if tuned else ()),
        count_text(subnet.macs),
        count_text(subnet.params),
        bytes_text(subnet.bytes),
        bytes_text(subnet.peak_activation_bytes),
    )


def side_by_side_section(searches: Sequence[TunedSearch], name: str) -> Section:
    """Returns the section on at least two comparable searches; `name` is the name of its figure."""
    equal = at_equal_number(searches)
    names = [search.name for search in equal]
    return Section(
        "side_by_side.html",
        {
            "title": f"{', '.join(names[:-1])} and {names[-1]} side by side",
            "note": _note(equal),
            "metric": equal[0].metric.title,
            "figure_name": name,
            "columns": ("latency", "bytes", *names),
            "rows": [_search_cells(equal, *limits) for limits in limits_of(equal)],
        },
        {name: volume_figure(equal)},
    )


def volume_figure(searches: Sequence[TunedSearch]) -> Figure:
    """Returns each search's hypervolume of quality, latency and bytes over its fine-tuned candidates."""
    traces = [
        lines(
            escape(search.name),
            range(1, len(shares) + 1),
            [100 * share for share in shares],
            color=series_color(number),
            width=2.2,
            shape="hv",
        )
        | {"hovertemplate": "%{x} candidates: %{y:.1f} %"}
        for number, (search, shares) in enumerate(zip(searches, volumes(searches), strict=True))
    ]
    frame = layout("fine-tuned candidates", "dominated, %", height=360)
    return {"data": traces, "layout": frame | {"hovermode": "x"}}


def _note(searches: Sequence[TunedSearch]) -> str:
    count = len(searches[0].tuned)
    spent = ", ".join(f"{search.name} {search.epochs}" for search in searches)
    return (
        f"Each search up to its first {count} fine-tuned candidates, including those that stopped early; epochs of "
        f"fine-tuning: {spent}. The figure is the share that each search dominates of the box between the best and the "
        f"worst {searches[0].metric.title}, latency and bytes on their joint front. Scores are on validation, before "
        "finalists are fine-tuned further. Each search ran once; other seeds may give other results."
    )


def _search_cells(searches: Sequence[TunedSearch], latency_ms: float, size: float) -> list[tuple[str, bool]]:
    """The two limits, then the best score of each search within them, each with whether it is the best of all."""
    metric = searches[0].metric
    reached = [best_within(search, latency_ms, size) for search in searches]
    best = max((quality for quality in reached if quality is not None), default=None)
    limits = [(f"≤ {ms_text(latency_ms)}", False), (f"≤ {bytes_text(size)}", False)]
    return limits + [
        (metric.text(None if quality is None else metric.value(quality)), quality is not None and quality == best)
        for quality in reached
    ]
