"""The report as one HTML text: headline, a section a search, devices, pruned networks, training, how to reproduce."""

from __future__ import annotations

from html import escape

from search.report.compare_section import compare_section
from search.report.data import ReportData
from search.report.document import document
from search.report.figures import Figure, training_figure
from search.report.html import facts_list, figure_box, text_with_units
from search.report.numbers import limits_text, percent_text, signed_points
from search.report.prune_section import prune_section
from search.report.search_section import search_section
from search.report.side_by_side_section import side_by_side_section


def render(data: ReportData) -> str:
    """Returns the page, complete in itself: scripts and styles are inside, nothing is fetched."""
    figures: dict[str, Figure] = {}
    sections = [_header(data)]
    for index, device in enumerate(data.devices):
        sections.append(search_section(data, device, f"s{index}", figures, titled=len(data.devices) > 1))
    sections.append(side_by_side_section(data.side_by_side, figures))
    sections.append(compare_section(data.compared, data.choices, figures))
    sections.append(prune_section(data.pruned, figures))
    sections.append(_training(data, figures))
    sections.append(_reproduce(data))
    return document(f"{data.run} · ofa report", sections, figures)


def _header(data: ReportData) -> str:
    return (
        f'<p class="eyebrow">ofa · run {escape(data.run)}</p><h1>{escape(_headline(data))}</h1>'
        f'<p class="lead">{text_with_units(_lead(data))}</p>{facts_list(data.summary)}'
    )


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
        return "Accuracies are of the test images; density is the share of the prunable weights that is kept."
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
                    f"The subnet for {limits} needs {100 * share:.0f} % of the time of the "
                    f"largest network{where} and reaches {percent_text(subnet.test_accuracy)} on the test images "
                    f"({signed_points(loss)}). Latencies of chosen subnets are measured, batch 1."
                )
    return "Latencies of chosen subnets are measured, batch 1; those of all other candidates are predicted."


def _training(data: ReportData, figures: dict[str, Figure]) -> str:
    if not data.history:
        return ""
    figures["training"] = training_figure(data.history)
    return (
        '<h2>Training</h2><p class="note">One training of the supernet; the largest and the smallest subnet '
        f"on the validation images as it goes on.</p>{figure_box('training')}"
    )


def _reproduce(data: ReportData) -> str:
    commands = escape("\n".join(data.commands))
    versions = ", ".join(f"{name} {text}" for name, text in data.versions.items())
    config = f"<details><summary>Configuration of the supernet</summary><pre>{escape(data.config)}</pre></details>"
    return (
        f"<h2>How to reproduce</h2><pre>{commands}</pre>{facts_list(data.digests)}{config if data.config else ''}"
        f"<footer>{escape(versions)}</footer>"
    )
