"""The section on a device's latency model: predicted against measured latency; what the latencies are of."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.device import read_profile
from search.device.workload import USUAL, Workload
from search.report.data import AnchorPrediction, Chosen, DeviceResult
from search.report.document import Section
from search.report.figures import Figure, arch_text, drawn, layout, lines, markers
from search.run.paths import RunFolder
from search.text import percent_text


def latency_section(device: DeviceResult, name: str) -> Section | None:
    """Returns predicted against measured latency; None without the device's profile. `name` is of its figure."""
    if not device.anchors:
        return None
    return Section(
        "latency.html",
        {"note": _latency_note(device), "figure_name": name, "description": device.description},
        {name: latency_figure(device.anchors, device.chosen, device.workload)},
    )


def _latency_note(device: DeviceResult) -> str:
    text = f"{len(device.anchors)} subnets were measured on {device.device} to fit the latency model."
    if device.held_out_error is not None:
        error = percent_text(device.held_out_error, 1)
        text += f" Its mean error on held-out subnets is {error}"
        if device.macs_only_error is not None:
            text += f" (MACs alone: {percent_text(device.macs_only_error, 1)})"
        text += "."
    return text + (f" Measurement quality: {device.quality}." if device.quality else "")


def latency_figure(anchors: Sequence[AnchorPrediction], chosen: Sequence[Chosen], workload: Workload = USUAL) -> Figure:
    """Returns predicted over measured latency: the profile's subnets, held out, and the finalists."""
    pairs = [(anchor.measured_ms, anchor.predicted_ms, arch_text(anchor.arch)) for anchor in anchors]
    finalists = [
        (subnet.measured_ms, subnet.predicted_ms, arch_text(subnet.arch))
        for subnet in chosen
        if subnet.measured_ms is not None and subnet.predicted_ms is not None
    ]
    values = [value for measured, predicted, _ in [*pairs, *finalists] for value in (measured, predicted)] or [0.0, 1.0]
    ends = [min(values) * 0.95, max(values) * 1.05]
    traces = [
        lines("exact", ends, ends, color="$faint", width=1.5, dash="dot") | {"hoverinfo": "skip"},
        _pairs("profiled subnets, held out", pairs, color="$dot", symbol="circle", size=8),
        _pairs("finalists", finalists, color="$star", symbol="star", size=15),
    ]
    unit = escape(workload.unit)
    return drawn(traces, layout(f"measured, {unit}", f"predicted, {unit}", height=420))


def _pairs(name: str, pairs: Sequence[tuple[float, float, str]], *, color: str, symbol: str, size: int) -> Figure:
    x, y, texts = zip(*pairs, strict=True) if pairs else ((), (), ())
    marker = {"color": color, "symbol": symbol, "size": size, "opacity": 0.9, "line": {"width": 0}}
    template = "measured %{x:.4g} ms, predicted %{y:.4g} ms<br>%{text}<extra></extra>"
    return markers(name, x, y, texts, **marker) | {"hovertemplate": template}


def workload_of(run: RunFolder, device: str) -> Workload:
    """Returns what a run on a device computed; one example where its profile is gone.

    Raises:
        InvalidInput: a damaged profile; names it.
    """
    path = run.profile(device)
    return read_profile(path).workload if path.is_file() else USUAL
