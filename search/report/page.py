"""The report of a run as one page: warnings, searches, devices, pruned networks, layers, training."""

from __future__ import annotations

from collections.abc import Sequence

from search.report.compare_section import compare_section
from search.report.data import ReportData, Warned
from search.report.document import Section, document, footer, header
from search.report.figures import Figure, axis, drawn, layout, lines
from search.report.prune_section import prune_section
from search.report.search_section import search_sections, side_by_side_section
from search.run.result_files import Layers
from search.run.training_cards import Epoch
from search.text import count_text, limits_text, percent_text, signed_points

FEW = 40  # epochs; longer curves have no markers


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
        _training(data.history),
        layers_section(data.layers),
        footer("How to reproduce", data.commands, data.versions, data.digests, data.config),
    ]
    return document(f"{data.run} · ofa report", [section for section in sections if section is not None])


def _headline(data: ReportData) -> str:
    count = sum(len(device.chosen) for device in data.devices)
    if not count and not data.config:
        return "One pruned network" if len(data.pruned) == 1 else f"{len(data.pruned)} pruned networks"
    if not count:
        return "One supernet, trained"
    names = dict.fromkeys(name for device in data.devices if device.chosen for name in (device.device, *device.others))
    subnets = "one fitted subnet" if count == 1 else f"{count} fitted subnets"
    return f"One supernet, {subnets} for {' and '.join(names)}"


def _lead(data: ReportData) -> str:
    if not data.config:
        return "Accuracies are on the test images. Density is the share of prunable weights that remain."
    for device in data.devices:
        largest = device.largest
        for subnet in device.chosen:
            if largest is None or None in (subnet.measured_ms, largest.measured_ms, subnet.test_accuracy):
                continue
            share = (subnet.measured_ms or 0.0) / (largest.measured_ms or 1.0)
            loss = (subnet.test_accuracy or 0.0) - (largest.test_accuracy or 0.0)
            if loss >= -0.005:
                limits = limits_text(subnet.limits, "") or "no limit"
                where = f" on {device.device}" if device.others else ""
                return (
                    f"The subnet for {limits} takes {100 * share:.0f} % of the largest network's time{where} and "
                    f"reaches {percent_text(subnet.test_accuracy)} on the test images ({signed_points(loss)}). "
                    "Latencies of chosen subnets are measured at batch size 1."
                )
    return "Latencies of chosen subnets are measured at batch size 1; all others are predicted."


def _warnings(warned: Sequence[Warned]) -> Section | None:
    """Warnings of the cards, at the top of the page."""
    if not warned:
        return None
    title = "One warning" if len(warned) == 1 else f"{len(warned)} warnings"
    networks: dict[str, list[str]] = {}
    for warning in warned:
        networks.setdefault(warning.network, []).append(warning.line)
    return Section("warnings.html", {"title": title, "networks": networks})


def _training(history: Sequence[Epoch]) -> Section | None:
    return Section("training.html", figures={"training": training_figure(history)}) if history else None


def training_figure(history: Sequence[Epoch]) -> Figure:
    """Returns accuracy of the largest and the smallest subnet, and the loss, over epochs."""
    loss = _curve(history, "loss", "training loss", "$faint")
    traces = [
        _curve(history, "largest", "largest subnet", "$accent"),
        _curve(history, "smallest", "smallest subnet", "$second"),
        loss | {"yaxis": "y2", "mode": "lines"},
    ]
    frame = layout("epoch", "validation accuracy, %", height=360)
    frame["yaxis2"] = axis("loss") | {"overlaying": "y", "side": "right", "showgrid": False}
    frame["yaxis2"] |= {"rangemode": "tozero", "tickmode": "auto", "nticks": 6}
    return drawn(traces, frame | {"hovermode": "x"})


def _curve(history: Sequence[Epoch], key: str, name: str, color: str) -> Figure:
    """The training loss, or the accuracy of a network, over epochs."""
    accuracy = key != "loss"
    values = [(row.epoch, row.value(key, "accuracy") if accuracy else row.loss) for row in history]
    points = [(epoch, float(value)) for epoch, value in values if value is not None]
    y = [100 * value if accuracy else value for _, value in points]
    return lines(name, [epoch for epoch, _ in points], y, color=color, width=2.2) | {
        "mode": "lines+markers" if len(points) < FEW else "lines",
        "marker": {"size": 4},
        "hovertemplate": "epoch %{x}: %{y:.2f} %" if accuracy else "epoch %{x}: %{y:.3f}",
    }


GROUPED = 9  # digits of the longest number that is written out


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
    if len(digits) <= 9:
        return f"{int(digits):,}"
    return f"{digits[0]}.{digits[1]}e{len(digits) - 1}"
