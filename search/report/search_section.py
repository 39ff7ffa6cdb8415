"""A search as a section of the report: cards, Pareto front, table, architectures, predicted latency."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.report.architecture import comparison_table, silhouette
from search.report.data import Chosen, DeviceResult, ReportData
from search.report.figures import Figure, latency_figure
from search.report.html import facts_list, figure_box, text_with_units
from search.report.numbers import bytes_text, count_text, ms_text, percent_text, signed_points
from search.report.pareto_figure import pareto_figure

TITLES = ("limit", "measured", "predicted", "test accuracy", "validation", "MACs", "parameters", "size")


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
        columns = [(ms_text(subnet.limit_ms), subnet.arch) for subnet in device.chosen]
        parts.append(
            '<h2>Architectures</h2><p class="note">Every choice of the space. Filled: the subnet; '
            "pale: the supernet; dashed: in a block that is left out.</p>"
            f'<div class="figure scroll">{comparison_table(data.choices, columns)}</div>'
        )
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
    text = f"{evaluated} candidates evaluated, each at its predicted latency."
    if refused:
        text += f" {refused} more were predicted over the limit and not evaluated: the ticks below the plot."
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
    again = "" if first is subnet else f" (same subnet as for {text_with_units(ms_text(first.limit_ms))})"
    if largest is not None and largest.measured_ms and subnet.measured_ms:
        against = f"<dt>of the largest's time</dt><dd>{100 * subnet.measured_ms / largest.measured_ms:.0f} %</dd>"
        if largest.test_accuracy is not None and subnet.test_accuracy is not None:
            change = signed_points(subnet.test_accuracy - largest.test_accuracy)
            against += f"<dt>against its accuracy</dt><dd>{change}</dd>"
    return (
        f'<div class="card"><span class="pill">≤ {ms_text(subnet.limit_ms)}</span>'
        f'<div class="big">{percent_text(subnet.test_accuracy)}</div><div class="label">test accuracy{again}</div>'
        f"{silhouette(data.choices, subnet.arch)}"
        f"<dl><dt>measured</dt><dd>{ms_text(subnet.measured_ms)}</dd>"
        f"<dt>MACs</dt><dd>{count_text(subnet.macs)}</dd><dt>parameters</dt><dd>{count_text(subnet.params)}</dd>"
        f"{against}</dl></div>"
    )


def _table(device: DeviceResult) -> str:
    head = "".join(f"<th>{title}</th>" for title in TITLES) + '<th class="text">folder</th>'
    rows = [_row(subnet, "") for subnet in device.chosen]
    if device.largest is not None:
        rows.append(_row(device.largest, ' class="reference"'))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<div class="figure scroll">{table}</div>'


def _row(subnet: Chosen, style: str) -> str:
    cells: Sequence[str] = (
        "largest" if subnet.limit_ms is None else f"≤ {ms_text(subnet.limit_ms)}",
        ms_text(subnet.measured_ms),
        ms_text(subnet.predicted_ms),
        percent_text(subnet.test_accuracy),
        percent_text(subnet.validation_accuracy),
        count_text(subnet.macs),
        count_text(subnet.params),
        bytes_text(subnet.bytes),
    )
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr{style}>{inner}<td class="text"><code>{escape(subnet.folder)}</code></td></tr>'
