"""The report of a run as one page: warnings, searches, devices, pruned networks, layers, training."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ofa.task import Score
from search.device.workload import USUAL
from search.report.compare_section import compare_section
from search.report.compress_section import compress_section
from search.report.data import Began, ReportData, Warned
from search.report.document import Section, document, footer, header
from search.report.figures import Figure, axis, drawn, layout, lines
from search.report.prune_section import prune_section
from search.report.search_section import search_sections, side_by_side_section
from search.run.result_files import Layers
from search.run.scores import MetricFacts
from search.run.training_cards import Epoch
from search.text import count_text, limits_text, percent_text

FEW_TICKS = 10  # epochs, each with a tick
FEW = 40  # epochs; longer curves have no markers
GROUPED = 9  # digits of the longest number that is written out


def render(data: ReportData) -> str:
    """Returns the self-contained page: scripts and styles are inline, nothing is fetched."""
    several = len(data.devices) > 1
    sections = [
        header(f"ofa · run {data.run}", _headline(data), _lead(data), data.summary),
        _warnings(data.warned),
        *(
            section
            for index, device in enumerate(data.devices)
            for section in search_sections(data.choices, device, f"s{index}", titled=several)
        ),
        *(side_by_side_section(group, f"side-by-side-{index}") for index, group in enumerate(data.side_by_side)),
        compare_section(data.compared, data.choices),
        prune_section(data.pruned),
        compress_section(data.compressed),
        _training(data.history, data.metric),
        began_section(data.began),
        layers_section(data.layers),
        footer("How to reproduce", data.commands, data.versions, data.digests, data.config),
    ]
    return document(f"{data.run} · ofa report", [section for section in sections if section is not None])


def _headline(data: ReportData) -> str:
    count = sum(len(device.chosen) for device in data.devices)
    if not count and not data.config and not data.pruned:
        return "One compressed network" if len(data.compressed) == 1 else f"{len(data.compressed)} compressed networks"
    if not count and not data.config:
        return "One pruned network" if len(data.pruned) == 1 else f"{len(data.pruned)} pruned networks"
    if not count:
        return "One supernet, trained"
    names = dict.fromkeys(name for device in data.devices if device.chosen for name in (device.device, *device.others))
    subnets = "one fitted subnet" if count == 1 else f"{count} fitted subnets"
    return f"One supernet, {subnets} for {' and '.join(names)}"


def _lead(data: ReportData) -> str:
    if not data.config:
        density = " Density is the share of prunable weights that remain." if data.pruned else ""
        return f"Scores are on the test examples.{density}"
    for device in data.devices:
        largest = device.largest
        for subnet in device.chosen:
            metric, test = device.metric, subnet.test
            if largest is None or largest.test is None or test is None or metric is None:
                continue
            if subnet.measured_ms is None or largest.measured_ms is None:
                continue
            share = subnet.measured_ms / largest.measured_ms
            if _as_good(metric, test, largest.test):
                limits = limits_text(subnet.limits, "") or "no limit"
                where = f" on {device.device}" if device.others else ""
                return (
                    f"The subnet for {limits} takes {100 * share:.0f} % of the largest network's time{where} and "
                    f"reaches {metric.named_text(test)} on {test.examples:,} test examples "
                    f"({metric.gain_or_difference_text(subnet.from_largest, test, largest.test)}). "
                    f"Latencies of chosen subnets are measured {device.workload.manner}."
                )
    manner = " or ".join(dict.fromkeys(device.workload.manner for device in data.devices)) or USUAL.manner
    return f"Latencies of chosen subnets are measured {manner}; all others are predicted."


def _as_good(metric: MetricFacts, score: Score, largest: Score) -> bool:
    """Whether a score is at most half a point, or half a percent, worse than the largest network's."""
    lost = metric.quality(largest.value) - metric.quality(score.value)
    return lost <= 0.005 * (1.0 if metric.unit == "%" else abs(largest.value))


def _warnings(warned: Sequence[Warned]) -> Section | None:
    """Warnings of the cards, at the top of the page."""
    if not warned:
        return None
    title = "One warning" if len(warned) == 1 else f"{len(warned)} warnings"
    networks: dict[str, list[str]] = {}
    for warning in warned:
        networks.setdefault(warning.network, []).append(warning.line)
    return Section("warnings.html", {"title": title, "networks": networks})


def _training(history: Sequence[Epoch], metric: MetricFacts | None) -> Section | None:
    if not history or metric is None:
        return None
    return Section("training.html", {"metric": metric.title}, {"training": training_figure(history, metric)})


def began_section(began: Sequence[Began]) -> Section | None:
    """Returns the section on where trainings began and why they ended early; None where nothing is to be said."""
    if not began:
        return None
    both = ("weights began as", "ended early")
    columns = [title for title, shown in zip(both, _columns_shown(began), strict=True) if shown]
    rows = [
        (
            row.network,
            [text for text, shown in zip((row.start, row.ended), _columns_shown(began), strict=True) if shown],
        )
        for row in began
    ]
    return Section("began.html", {"columns": ["network", *columns], "rows": rows})


def _columns_shown(began: Sequence[Began]) -> tuple[bool, bool]:
    """Whether there is a start, and an early end, of any network."""
    return any(row.start for row in began), any(row.ended for row in began)


def training_figure(history: Sequence[Epoch], metric: MetricFacts) -> Figure:
    """Returns the metric of the largest and the smallest subnet, and the loss, over epochs."""
    loss = _curve([(row.epoch, row.loss) for row in history], "training loss", "$faint", "%{y:.3f}")
    unit = f"%{{y:{'.2f' if metric.unit == '%' else '.4g'}}} {escape(metric.unit)}"
    traces = [
        _curve(
            [
                (row.epoch, None if (value := row.value(end, metric.name)) is None else metric.shown(value))
                for row in history
            ],
            f"{end} subnet",
            color,
            unit,
        )
        for end, color in (("largest", "$accent"), ("smallest", "$second"))
    ]
    traces += [
        loss | {"yaxis": "y2", "mode": "lines"},
    ]
    frame = layout("epoch", metric.axis("validation"), height=360)
    frame["yaxis2"] = axis("loss") | {"overlaying": "y", "side": "right", "showgrid": False}
    frame["yaxis2"] |= {"rangemode": "tozero", "tickmode": "auto", "nticks": 6}
    if max((row.epoch for row in history), default=0) <= FEW_TICKS:
        frame["xaxis"] |= {"dtick": 1}  # no half epochs
    return drawn(traces, frame | {"hovermode": "x"})


def _curve(points: Sequence[tuple[int, float | None]], name: str, color: str, template: str) -> Figure:
    known = [(epoch, value) for epoch, value in points if value is not None]
    return lines(name, [epoch for epoch, _ in known], [value for _, value in known], color=color, width=2.2) | {
        "mode": "lines+markers" if len(known) < FEW else "lines",
        "marker": {"size": 4},
        "hovertemplate": f"epoch %{{x}}: {template}",
    }


def layers_section(layers: Layers | None) -> Section | None:
    """Returns the section on layers; None where the run has no such file."""
    if layers is None:
        return None
    obstacles = [(count_text(row.parameters), row.reason, row.cure or "nothing: it stays") for row in layers.obstacles]
    rows = [(row.layer, row.kind, row.state, ", ".join(map(str, row.choices)), row.reason) for row in layers.rows]
    return Section("layers.html", {"note": layers_text(layers), "obstacles": obstacles, "rows": rows})


def layers_text(layers: Layers) -> str:
    """Returns how much of a model can vary, in one sentence."""
    choices = ", ".join(f"{count} of {kind.replace('_', ' ')}" for kind, count in layers.choices.items())
    fixed, removable = layers.parameters - layers.elastic, 1 - layers.smallest / max(1, layers.parameters)
    return (
        f"{layers.model}: {layers.parameters:,} parameters, all but {fixed:,} of them elastic; the smallest of "
        f"{subnets_text(layers.subnets)} subnets has {layers.smallest:,} ({percent_text(removable)} less). "
        f"Choices: {choices}."
    )


def subnets_text(digits: str) -> str:
    """Returns a whole number of any size, given by its digits, as text such as "1,024" or "3.1e412"."""
    if len(digits) <= GROUPED:
        return f"{int(digits):,}"
    return f"{digits[0]}.{digits[1]}e{len(digits) - 1}"
