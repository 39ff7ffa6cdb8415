"""Devices compared, as a section of the report: every subnet on every device, own choices beside others."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.report.architecture import silhouette
from search.report.compare_figure import slopes_figure
from search.report.data import Choice, Compared, ComparedPair, ComparedSide, ComparedSubnet, OnDevice
from search.report.figures import Figure
from search.report.html import figure_box, text_with_units
from search.report.numbers import count_text, ms_text, percent_text

FIGURE = "compare-slopes"
MOST_LIMITS = 4  # that a cell names; more are counted


def compare_section(compared: Compared | None, choices: Sequence[Choice], figures: dict[str, Figure]) -> str:
    """Returns the HTML about subnets measured on every device, and adds its figure; empty where none were."""
    if compared is None:
        return ""
    old = " There are newer searches since; ofa compare takes them in." if compared.is_old else ""
    cards = "".join(_card(subnet, choices) for subnet in compared.subnets if subnet.devices)
    parts = [
        f'<h2>{_title(compared)}</h2><p class="lead">{text_with_units(compared.found + old)}</p>'
        f'<div class="cards">{cards}</div>'
    ]
    if len(compared.runtimes) > 1:
        figures[FIGURE] = slopes_figure(compared)
        parts.append(
            '<p class="note">A line is a subnet, from device to device; a star is on the device that it was chosen '
            f"for. Bars are limits.</p>{figure_box(FIGURE)}"
        )
    parts.append(f'{_matrix(compared)}<p class="note">{text_with_units(_how_measured(compared))}</p>')
    if compared.pairs:
        parts.append(
            "<h2>Its own choice, or another device's</h2>"
            f'<p class="note">{text_with_units(_how_decided(compared))}</p>{_pairs(compared.pairs)}'
        )
    return "".join(parts)


def _title(compared: Compared) -> str:
    if len(compared.runtimes) < 2:
        return "The chosen subnets side by side"
    if any(pair.own.subnet != pair.other.subnet for pair in compared.pairs):
        return "One supernet, a different subnet for each device"
    return "One supernet on every device"


def _how_measured(compared: Compared) -> str:
    runtimes = "; ".join(f"{name}: {runtime}" for name, runtime in compared.runtimes.items())
    poor = ", ".join(f"{name} {verdict}" for name, verdict in compared.verdicts.items() if verdict != "ok")
    doubt = f" Measurement: {poor}." if poor else ""
    return (
        f"Measured in turn at batch 1 ({runtimes}); beside the ms the share of the largest subnet's time, below it "
        f"the limits there, in ms, met (✓) or not (✗). Times within {percent_text(compared.same_time, 0)} of each "
        f"other are not told apart, nor a time from a limit.{doubt}"
    )


def _how_decided(compared: Compared) -> str:
    return (
        "For every limit of a device, what was chosen for it beside what was chosen for another device under a limit "
        "of about the same share of the largest subnet's time. Accuracies within the standard error on "
        f"{compared.test_images} test images count as the same."
    )


def _card(subnet: ComparedSubnet, choices: Sequence[Choice]) -> str:
    times = "".join(
        f"<dt>on {escape(name)}</dt><dd>{ms_text(one.ms)}, {text_with_units(percent_text(one.of_largest, 0))}</dd>"
        for name, one in subnet.on.items()
    )
    return (
        f'<div class="card"><span class="pill">{escape(subnet.name)}</span>'
        f'<div class="big">{percent_text(subnet.test_accuracy)}</div>'
        f'<div class="label">test accuracy; chosen for {text_with_units(subnet.purpose)}</div>'
        f"{silhouette(choices, subnet.arch)}"
        f"<dl>{times}<dt>MACs</dt><dd>{count_text(subnet.macs)}</dd></dl></div>"
    )


def _matrix(compared: Compared) -> str:
    devices = "".join(f"<th>on {escape(name)}</th>" for name in compared.runtimes)
    head = f'<th>subnet</th><th class="text">chosen for</th><th>test accuracy</th><th>validation</th>{devices}'
    rows = "".join(_row(subnet, list(compared.runtimes)) for subnet in compared.subnets)
    return f'<div class="figure scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(subnet: ComparedSubnet, devices: Sequence[str]) -> str:
    style = "" if subnet.devices else ' class="reference"'
    styles = {name: ' class="own"' if name in subnet.devices else "" for name in devices}
    cells = "".join(f"<td{styles[name]}>{_cell(subnet.on[name])}</td>" for name in devices)
    return (
        f'<tr{style}><td>{escape(subnet.name)}</td><td class="text wrap">{text_with_units(subnet.purpose)}</td>'
        f"<td>{percent_text(subnet.test_accuracy)}</td><td>{percent_text(subnet.validation_accuracy)}</td>{cells}</tr>"
    )


def _cell(one: OnDevice) -> str:
    times = f'{ms_text(one.ms)} <span class="of">{percent_text(one.of_largest, 0)}</span>'
    if not one.limits:
        return times
    if len(one.limits) > MOST_LIMITS:
        met = sum(is_met for _, is_met in one.limits)
        return f'{times}<div class="limits">meets {met} of {len(one.limits)} limits</div>'
    return f'{times}<div class="limits">{"".join(_mark(*limit) for limit in one.limits)}</div>'


def _mark(limit_ms: float, is_met: bool) -> str:
    style, sign = ("met", "✓") if is_met else ("over", "✗")
    return f'<span class="{style}">{sign} {ms_text(limit_ms).removesuffix(" ms")}</span>'


def _pairs(pairs: Sequence[ComparedPair]) -> str:
    titles = ("limit", "its own", "the other's", "its own is")
    head = "<th>on</th>" + "".join(f'<th class="text">{title}</th>' for title in titles)
    rows = "".join(_pair(pair) for pair in pairs)
    return f'<div class="figure scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _pair(pair: ComparedPair) -> str:
    other = f"{_side(pair.other)} ({escape(pair.other_device)} ≤ {ms_text(pair.other_limit_ms)})"
    cells = (f"≤ {ms_text(pair.limit_ms)}", _side(pair.own), other)
    inner = "".join(f'<td class="text">{cell}</td>' for cell in cells)
    style = ' met"' if pair.better else '"'
    return f'<tr><td>{escape(pair.device)}</td>{inner}<td class="text wrap{style}>{escape(pair.said)}</td></tr>'


def _side(side: ComparedSide) -> str:
    return f"<b>{escape(side.subnet)}</b> {ms_text(side.ms)}, {percent_text(side.accuracy)}"
