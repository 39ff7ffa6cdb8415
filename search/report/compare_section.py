"""The section that compares devices: every subnet on every device, own choices beside those of others; gathering it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ofa.records import read_record
from search.report.data import Choice, Compared
from search.report.document import Card, Section, series_color
from search.report.figures import Figure, drawn, layout, lines, markers
from search.report.latency_section import workload_of
from search.report.pictures import silhouette
from search.run.paths import RunFolder
from search.run.result_files import Comparison, PairComparison, PairSide, SubnetComparison
from search.run.scores import MetricFacts
from search.run.stages import is_complete
from search.subnets.advantage import purposes_text
from search.subnets.chosen import digest_of_searches, found_by_searches
from search.text import count_text, ms_text, percent_text

FIGURE = "compare-slopes"

MOST_LIMITS = 4  # limits that a cell names; more are counted

SPACE = 10 * "\N{NO-BREAK SPACE}"  # between the ends of a line and its name, to leave room for the bar of a limit

SHARED = "$muted"  # the color of subnets chosen for several devices


def compare_section(compared: Compared | None, choices: Sequence[Choice]) -> Section | None:
    """Returns the section about subnets measured on every device; None without a comparison."""
    if compared is None:
        return None
    outdated = " Newer searches are not included; run ofa compare again." if compared.is_old else ""
    content, metric = compared.content, compared.metric
    figures = {FIGURE: slopes_figure(compared)} if len(compared.devices) > 1 else {}
    return Section(
        "compare.html",
        {
            "title": _title(compared),
            "lead": content.finding + outdated,
            "cards": [_card(subnet, metric, choices) for subnet in content.subnets if subnet.devices],
            "figure_name": FIGURE if figures else "",
            "devices": compared.devices,
            "subnets": content.subnets,
            "purpose_of": purposes_text,
            "metric": metric,
            "test_heading": metric.heading("test"),
            "most_limits": MOST_LIMITS,
            "how_measured": _how_measured(compared),
            "how_decided": _how_decided(compared),
            "pairs": [_pair(pair, metric) for pair in content.pairs],
        },
        figures,
    )


def _title(compared: Compared) -> str:
    if len(compared.devices) < 2:
        return "The chosen subnets side by side"
    if any(pair.own.subnet != pair.other.subnet for pair in compared.content.pairs):
        return "One supernet, a different subnet for each device"
    return "One supernet on every device"


def _how_measured(compared: Compared) -> str:
    devices = compared.content.devices
    runtimes = "; ".join(f"{device.name}: {device.runtime}" for device in devices)
    poor = ", ".join(f"{device.name} {device.verdict}" for device in devices if device.verdict != "ok")
    doubt = f" Measurement quality: {poor}." if poor else ""
    manners = {name: compared.workloads[name].manner for name in compared.devices}
    manner = (
        next(iter(manners.values()))
        if len(set(manners.values())) == 1
        else ", ".join(f"{how} on {name}" for name, how in manners.items())
    )
    return (
        f"Measured in turn {manner} ({runtimes}). Each cell has the time, its share of the largest subnet's "
        "time, and the limits on that device in ms, met (✓) or missed (✗). Times within "
        f"{percent_text(compared.content.same_time, 0)} of each other, or of a limit, count as equal.{doubt}"
    )


def _how_decided(compared: Compared) -> str:
    return (
        "For each limit on a device: the subnet chosen for it, and the one chosen for another device under a limit of "
        f"about the same share of the largest subnet's time. Differences of {compared.metric.title} within "
        f"the standard error on {compared.content.test_examples:,} test examples count as equal."
    )


def _card(subnet: SubnetComparison, metric: MetricFacts, choices: Sequence[Choice]) -> Card:
    times = {
        f"on {device}": f"{ms_text(time.ms)}, {percent_text(time.of_largest, 0)}" for device, time in subnet.on.items()
    }
    return Card(
        title=subnet.name,
        score=metric.text(subnet.scores.test[metric.name]),
        label=f"{metric.heading('test')}; chosen for {purposes_text(subnet.chosen_for)}",
        layers=silhouette(choices, subnet.arch.values),
        facts={**times, "MACs": count_text(subnet.macs)},
    )


def _pair(pair: PairComparison, metric: MetricFacts) -> dict[str, object]:
    """A row of a device's own choice beside another device's, with the subnets' names in separate fields."""
    return {
        "device": pair.device,
        "limit": f"≤ {ms_text(pair.limit_ms)}",
        "own": (pair.own.subnet, _figures_text(pair.own, metric)),
        "other": (
            pair.other.subnet,
            f"{_figures_text(pair.other, metric)} ({pair.other_device} ≤ {ms_text(pair.other_limit_ms)})",
        ),
        "verdict": pair.verdict,
        "better": pair.better,
    }


def _figures_text(side: PairSide, metric: MetricFacts) -> str:
    return f"{ms_text(side.ms)}, {metric.text(side.score)}"


def slopes_figure(compared: Compared) -> Figure:
    """Returns each chosen subnet's fraction of the largest's time over the devices, with the limits of each device.

    A line has the color of the device that its subnet was chosen for (gray for several), with stars on those devices.
    """
    devices = compared.devices
    chosen = [subnet for subnet in compared.content.subnets if subnet.devices]
    owners = sorted({subnet.devices for subnet in chosen}, key=lambda owner: (len(owner), owner))
    single_devices = [owner[0] for owner in owners if len(owner) == 1]
    traces = [_limits(compared, devices)]
    for owner in owners:
        color = series_color(single_devices.index(owner[0])) if len(owner) == 1 else SHARED
        group = [subnet for subnet in chosen if subnet.devices == owner]
        traces += [
            _line(subnet, compared.metric, devices, color, first=index == 0) for index, subnet in enumerate(group)
        ]
    frame = layout("", "share of the largest's time, %", height=440)
    frame["xaxis"] |= {"type": "category", "range": [-0.7, len(devices) - 0.3], "fixedrange": True}
    frame["xaxis"] |= {"tickfont": {"size": 14, "color": "$ink"}, "showgrid": True}
    frame["yaxis"] |= {"rangemode": "tozero"}
    return drawn(traces, frame)


def _line(subnet: SubnetComparison, metric: MetricFacts, devices: Sequence[str], color: str, *, first: bool) -> Figure:
    ends = (0, len(devices) - 1)
    owner = " and ".join(subnet.devices)
    y = [100 * subnet.on[device].of_largest for device in devices]
    name = f"{SPACE}<b>{escape(subnet.name)}</b>{SPACE}"
    return lines(escape(f"chosen for {owner}"), [escape(device) for device in devices], y, color=color, width=2) | {
        "mode": "lines+markers+text",
        "legendgroup": escape(owner),
        "showlegend": first,
        "text": [name if index in ends else "" for index in range(len(devices))],
        "textposition": ["middle left", *["top center"] * (len(devices) - 2), "middle right"],
        "textfont": {"color": color, "size": 13},
        "cliponaxis": False,
        "customdata": [_text(subnet, metric, device) for device in devices],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {
            "color": color,
            "symbol": ["star" if device in subnet.devices else "circle" for device in devices],
            "size": [15 if device in subnet.devices else 8 for device in devices],
            "line": {"width": 1.5, "color": "$page"},
        },
    }


def _limits(compared: Compared, devices: Sequence[str]) -> Figure:
    """A bar across each device at each of its limits."""
    bars = []
    for device in devices:
        time = compared.content.subnets[0].on[device]
        largest_ms = time.ms / time.of_largest
        bars += [(device, limit.limit_ms, 100 * limit.limit_ms / largest_ms) for limit in time.limits]
    return markers(
        "limits",
        [escape(device) for device, _, _ in bars],
        [height for _, _, height in bars],
        [f"limit {ms_text(limit_ms)}" for _, limit_ms, _ in bars],
        symbol="line-ew",
        size=46,
        line={"width": 2, "color": "$limit"},
    )


def _text(subnet: SubnetComparison, metric: MetricFacts, device: str) -> str:
    time = subnet.on[device]
    head = f"<b>{escape(subnet.name)}</b> on {escape(device)}: {ms_text(time.ms)}, {percent_text(time.of_largest, 0)}"
    test, purposes = metric.text(subnet.scores.test[metric.name]), purposes_text(subnet.chosen_for)
    return f"{head}<br>{test} on test<br>chosen for {escape(purposes)}"


def gather_compared(run: RunFolder) -> Compared | None:
    """Returns the comparison of a run; None if there is none.

    Raises:
        InvalidInput: the file is damaged; names it.
    """
    if not is_complete(run.comparison):
        return None
    content = read_record(run.comparison, Comparison)
    return Compared(
        content,
        is_old=content.searches != digest_of_searches(found_by_searches(run)),
        workloads={device.name: workload_of(run, device.name) for device in content.devices},
    )
