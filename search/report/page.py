"""The report as one HTML text: headline, Pareto front, architectures, training, latency, table, how to reproduce."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape

from search.report.architecture import comparison_table, silhouette
from search.report.data import Chosen, DeviceResult, ReportData
from search.report.figures import Figure, latency_figure, pareto_figure, training_figure
from search.report.numbers import bytes_text, count_text, ms_text, percent_text, signed_points
from search.report.style import CSS, SCRIPT


def render(data: ReportData) -> str:
    """Returns the page, complete in itself: scripts and styles are inside, nothing is fetched."""
    from plotly.offline import get_plotlyjs  # a slow import, needed here alone

    figures: dict[str, Figure] = {}
    sections = [_header(data)]
    for index, device in enumerate(data.devices):
        sections.append(_device(data, device, f"d{index}", figures, titled=len(data.devices) > 1))
    sections.append(_training(data, figures))
    sections.append(_reproduce(data))
    script = get_plotlyjs().replace("</script", "<\\/script")
    payload = json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(data.run)} · ofa report</title>'
        f"<style>{CSS}</style></head><body><main>{''.join(sections)}</main>"
        f"<script>{script}</script>"
        f'<script type="application/json" id="figures">{payload}</script><script>{SCRIPT}</script></body></html>\n'
    )


def _header(data: ReportData) -> str:
    facts = "".join(f"<li>{escape(label)}<b>{escape(text)}</b></li>" for label, text in data.summary.items())
    return (
        f'<p class="eyebrow">ofa · run {escape(data.run)}</p><h1>{escape(_headline(data))}</h1>'
        f'<p class="lead">{_text(_lead(data))}</p><ul class="facts">{facts}</ul>'
    )


def _headline(data: ReportData) -> str:
    count = sum(len(device.chosen) for device in data.devices)
    if not count:
        return "One supernet, trained"
    names = [device.name for device in data.devices if device.chosen]
    subnets = "one fitted subnet" if count == 1 else f"{count} fitted subnets"
    return f"One supernet, {subnets} for {' and '.join(names)}"


def _lead(data: ReportData) -> str:
    for device in data.devices:
        largest = device.largest
        for subnet in device.chosen:
            if largest is None or None in (subnet.measured_ms, largest.measured_ms, subnet.test_accuracy):
                continue
            share = (subnet.measured_ms or 0.0) / (largest.measured_ms or 1.0)
            loss = (subnet.test_accuracy or 0.0) - (largest.test_accuracy or 0.0)
            if loss >= -0.005:
                return (
                    f"The subnet for {ms_text(subnet.limit_ms)} needs {100 * share:.0f} % of the time of the largest "
                    f"network and reaches {percent_text(subnet.test_accuracy)} on the test images "
                    f"({signed_points(loss)}). Latencies of chosen subnets are measured, batch 1."
                )
    return "Latencies of chosen subnets are measured, batch 1; those of all other candidates are predicted."


def _device(data: ReportData, device: DeviceResult, prefix: str, figures: dict[str, Figure], *, titled: bool) -> str:
    parts = []
    if titled:
        parts.append(f"<h2>{escape(device.name)}</h2>")
    if device.chosen:
        cards = "".join(_card(data, subnet, device.largest) for subnet in device.chosen)
        parts.append(f'<div class="cards">{cards}</div>')
    if device.trials:
        figures[f"{prefix}-pareto"] = pareto_figure(device)
        parts.append(
            "<h2>Accuracy and latency</h2>"
            f'<p class="note">{_text(_trials_note(device))}</p>{_figure(f"{prefix}-pareto")}'
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
            f'<p class="note">{_text(_latency_note(device))}</p>{_figure(f"{prefix}-latency")}{_facts(device)}'
        )
    return "".join(parts)


def _trials_note(device: DeviceResult) -> str:
    evaluated = sum(trial.accuracy is not None for trial in device.trials)
    refused = len(device.trials) - evaluated
    text = f"{evaluated} candidates evaluated, each at its predicted latency."
    if refused:
        text += f" {refused} more were predicted over the limit and cost no evaluation: the ticks below the plot."
    return text + " Stars are the chosen subnets where they were measured, tied to their prediction."


def _latency_note(device: DeviceResult) -> str:
    text = f"{len(device.anchors)} subnets were measured on {device.name} to fit the latency model."
    if device.held_out_error is not None:
        text += f" On subnets kept out of the fit it is off by {percent_text(device.held_out_error, 1)} on average"
        if device.macs_only_error is not None:
            text += f" (MACs alone: {percent_text(device.macs_only_error, 1)})"
        text += "."
    return text + (f" Measurement: {device.quality}." if device.quality else "")


def _facts(device: DeviceResult) -> str:
    items = "".join(f"<li>{escape(label)}<b>{escape(text)}</b></li>" for label, text in device.description.items())
    return f'<ul class="facts">{items}</ul>' if items else ""


def _card(data: ReportData, subnet: Chosen, largest: Chosen | None) -> str:
    against = ""
    if largest is not None and largest.measured_ms and subnet.measured_ms and largest.test_accuracy is not None:
        change = (subnet.test_accuracy or 0.0) - largest.test_accuracy
        share = 100 * subnet.measured_ms / largest.measured_ms
        against = (
            f"<dt>time, largest = 100 %</dt><dd>{share:.0f} %</dd>"
            f"<dt>accuracy − largest's</dt><dd>{signed_points(change)}</dd>"
        )
    return (
        f'<div class="card"><span class="pill">≤ {ms_text(subnet.limit_ms)}</span>'
        f'<div class="big">{percent_text(subnet.test_accuracy)}</div><div class="label">test accuracy</div>'
        f"{silhouette(data.choices, subnet.arch)}"
        f"<dl><dt>measured</dt><dd>{ms_text(subnet.measured_ms)}</dd>"
        f"<dt>MACs</dt><dd>{count_text(subnet.macs)}</dd><dt>parameters</dt><dd>{count_text(subnet.params)}</dd>"
        f"{against}</dl></div>"
    )


def _table(device: DeviceResult) -> str:
    titles = ["limit", "measured", "predicted", "test accuracy", "validation", "MACs", "parameters", "size", "folder"]
    head = "".join(f'<th{" class=text" if title == "folder" else ""}>{title}</th>' for title in titles)
    rows = [_row(subnet, "") for subnet in device.chosen]
    if device.largest is not None:
        rows.append(_row(device.largest, ' class="reference"'))
    return (
        f'<div class="figure scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


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


def _training(data: ReportData, figures: dict[str, Figure]) -> str:
    if not data.history:
        return ""
    figures["training"] = training_figure(data.history)
    return (
        '<h2>Training</h2><p class="note">One training of the supernet; the largest and the smallest subnet on the '
        f"validation images as it goes on.</p>{_figure('training')}"
    )


def _reproduce(data: ReportData) -> str:
    commands = escape("\n".join(data.commands))
    digests = "".join(f"<li>{escape(name)}<b><code>{escape(text)}</code></b></li>" for name, text in data.digests.items())
    versions = ", ".join(f"{name} {text}" for name, text in data.versions.items())
    return (
        f"<h2>How to reproduce</h2><pre>{commands}</pre>"
        f'<ul class="facts">{digests}</ul>'
        f"<details><summary>Configuration of the supernet</summary><pre>{escape(data.config)}</pre></details>"
        f"<footer>{escape(versions)}</footer>"
    )


def _text(text: str) -> str:
    """Returns the text escaped, numbers kept on one line with their units."""
    return escape(text).replace(" %", "\u00a0%").replace(" ms", "\u00a0ms")


def _figure(name: str) -> str:
    return f'<div class="figure"><div id="{name}"></div></div>'
