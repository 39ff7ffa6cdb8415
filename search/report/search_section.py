"""A search as a section of the report: cards, Pareto front, table, architectures, predicted latency."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.figures import device_of
from search.report.architecture import comparison_table, silhouette
from search.report.data import Chosen, DeviceResult, ReportData
from search.report.effects_section import effects_section
from search.report.figures import Figure, latency_figure
from search.report.html import facts_list, figure_box, text_with_units
from search.report.importance_section import importance_section
from search.report.numbers import bytes_text, count_text, limits_text, ms_text, percent_text, signed_points
from search.report.pareto_figure import pareto_figure

TITLES = ("test accuracy", "validation", "MACs", "parameters", "size", "activations")
NO_LIMIT = "no limit"


def search_section(
    data: ReportData, device: DeviceResult, prefix: str, figures: dict[str, Figure], *, titled: bool
) -> str:
    """Returns the HTML of one search, and adds its figures to `figures`, named from `prefix` on."""
    parts = []
    if titled:
        parts.append(f"<h2>{escape(device.name)}</h2>")
    if device.chosen:
        cards = "".join(_card(data, device, subnet) for subnet in device.chosen)
        parts.append(f'<div class="cards">{cards}</div>')
    if device.trials:
        figures[f"{prefix}-pareto"] = pareto_figure(device)
        parts.append(
            "<h2>Accuracy and latency</h2>"
            f'<p class="note">{text_with_units(_trials_note(device))}</p>{figure_box(f"{prefix}-pareto")}'
        )
    if device.chosen:
        parts.append(f"<h2>Finalists</h2>{_table(device)}")
        columns = [(limits_text(subnet.limits, "") or NO_LIMIT, subnet.arch) for subnet in device.chosen]
        parts.append(
            '<h2>Architectures</h2><p class="note">Every choice of the space. Filled: the subnet; '
            "pale: the supernet; dashed: in a block that is left out.</p>"
            f'<div class="figure scroll">{comparison_table(data.choices, columns)}</div>'
        )
    if device.analysis is not None:
        parts.append(importance_section(device.analysis, data.choices, prefix, figures))
        parts.append(effects_section(device.analysis, device.trials, prefix, figures))
    if device.anchors:
        figures[f"{prefix}-latency"] = latency_figure(device.anchors, device.chosen)
        parts.append(
            "<h2>How well latency is predicted</h2>"
            f'<p class="note">{text_with_units(_latency_note(device))}</p>'
            f"{figure_box(f'{prefix}-latency')}{facts_list(device.description)}"
        )
    return "".join(parts)


def _trials_note(device: DeviceResult) -> str:
    evaluated = sum(trial.accuracy is not None for trial in device.trials)
    refused = len(device.trials) - evaluated
    where = f" on {device.device}, the first of the devices" if device.others else ""
    text = f"{evaluated} candidates evaluated, each at its predicted latency{where}."
    if refused:
        text += f" {refused} more were over a limit and not evaluated: the ticks below the plot."
    return text + " Stars are the chosen subnets where they were measured, tied to their prediction."


def _latency_note(device: DeviceResult) -> str:
    text = f"{len(device.anchors)} subnets were measured on {device.device} to fit the latency model."
    if device.held_out_error is not None:
        error = percent_text(device.held_out_error, 1)
        text += f" On subnets kept out of the fit it is off by {error} on average"
        if device.macs_only_error is not None:
            text += f" (MACs alone: {percent_text(device.macs_only_error, 1)})"
        text += "."
    return text + (f" Measurement: {device.quality}." if device.quality else "")


def _card(data: ReportData, device: DeviceResult, subnet: Chosen) -> str:
    largest, against = device.largest, ""
    first = next(other for other in device.chosen if other.arch == subnet.arch)
    again = "" if first is subnet else f" (same subnet as for {text_with_units(limits_text(first.limits, ''))})"
    if largest is not None and largest.measured_ms and subnet.measured_ms:
        against = f"<dt>of the largest's time</dt><dd>{_shares(subnet, largest)}</dd>"
        if largest.test_accuracy is not None and subnet.test_accuracy is not None:
            change = signed_points(subnet.test_accuracy - largest.test_accuracy)
            against += f"<dt>against its accuracy</dt><dd>{change}</dd>"
    peak = subnet.peak_activation_bytes
    memory = "" if peak is None else f"<dt>activations</dt><dd>{bytes_text(peak)}</dd>"
    return (
        f'<div class="card"><span class="pill">{escape(limits_text(subnet.limits, "≤ ") or NO_LIMIT)}</span>'
        f'<div class="big">{percent_text(subnet.test_accuracy)}</div><div class="label">test accuracy{again}</div>'
        f"{silhouette(data.choices, subnet.arch)}<dl>{_measured(subnet)}"
        f"<dt>MACs</dt><dd>{count_text(subnet.macs)}</dd><dt>parameters</dt><dd>{count_text(subnet.params)}</dd>"
        f"{memory}{against}</dl></div>"
    )


def _measured(subnet: Chosen) -> str:
    """What was measured, a line a device where there are several."""
    if not subnet.times:
        return f"<dt>measured</dt><dd>{ms_text(subnet.measured_ms)}</dd>"
    lines = (
        f"<dt>measured on {escape(device_of(name))}</dt><dd>{ms_text(ms)}</dd>" for name, ms in subnet.times.items()
    )
    return "".join(lines)


def _shares(subnet: Chosen, largest: Chosen) -> str:
    """The subnet's time as a share of the largest's, on each device."""
    pairs = [(ms, largest.times.get(name)) for name, ms in subnet.times.items()]
    pairs = pairs or [(subnet.measured_ms or 0.0, largest.measured_ms)]
    return ", ".join(f"{100 * ms / of:.0f} %" for ms, of in pairs if of)


def _table(device: DeviceResult) -> str:
    names = [device_of(name) for name in device.chosen[0].times]
    measured = [f"measured on {name}" for name in names] or ["measured"]
    predicted = f"predicted on {names[0]}" if names else "predicted"
    titles = ("limits" if len(device.chosen[0].limits) > 1 else "limit", *measured, predicted, *TITLES)
    head = "".join(f"<th>{escape(title)}</th>" for title in titles) + '<th class="text">folder</th>'
    rows = [_row(subnet, limits_text(subnet.limits, "≤ ") or NO_LIMIT, "") for subnet in device.chosen]
    if device.largest is not None:
        rows.append(_row(device.largest, "largest", ' class="reference"'))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="figure scroll">{table}</div>'


def _row(subnet: Chosen, limit: str, style: str) -> str:
    times = subnet.times.values() or (subnet.measured_ms,)
    cells: Sequence[str] = (
        limit,
        *(ms_text(ms) for ms in times),
        ms_text(subnet.predicted_ms),
        percent_text(subnet.test_accuracy),
        percent_text(subnet.validation_accuracy),
        count_text(subnet.macs),
        count_text(subnet.params),
        bytes_text(subnet.bytes),
        bytes_text(subnet.peak_activation_bytes),
    )
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr{style}>{inner}<td class="text"><code>{escape(subnet.folder)}</code></td></tr>'
