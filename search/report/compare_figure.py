"""The figure of subnets on several devices: a line a subnet, from what it takes on one device to the next."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.report.data import Compared, ComparedSubnet
from search.report.figures import Figure, layout
from search.report.numbers import ms_text, percent_text

COLOURS = ("$accent", "$star", "$second", "$limit", "$dot")  # a device each, for what was chosen for it alone
ROOM = 6 * "\N{NO-BREAK SPACE}"  # between the ends of a line and its name, for the bar of a limit
SHARED = "$muted"  # what was chosen for several


def slopes_figure(compared: Compared) -> Figure:
    """Returns each chosen subnet's fraction of the largest's time over the devices, and the limits there.

    A line has the colour of the device that its subnet was chosen for, grey where for several; stars are on them.
    """
    devices = list(compared.runtimes)
    chosen = [subnet for subnet in compared.subnets if subnet.devices]
    owners = sorted({subnet.devices for subnet in chosen}, key=lambda owner: (len(owner), owner))
    alone = [owner[0] for owner in owners if len(owner) == 1]
    traces = [_limits(compared, devices)]
    for owner in owners:
        colour = COLOURS[alone.index(owner[0]) % len(COLOURS)] if len(owner) == 1 else SHARED
        group = [subnet for subnet in chosen if subnet.devices == owner]
        traces += [_line(subnet, devices, colour, first=index == 0) for index, subnet in enumerate(group)]
    frame = layout("", "of the largest's time, %", height=440)
    frame["xaxis"] |= {"type": "category", "range": [-0.5, len(devices) - 0.5], "fixedrange": True}
    frame["xaxis"] |= {"tickfont": {"size": 14, "color": "$ink"}, "showgrid": True}
    frame["yaxis"] |= {"rangemode": "tozero"}
    return {"data": [trace for trace in traces if trace["x"]], "layout": frame}


def _line(subnet: ComparedSubnet, devices: Sequence[str], colour: str, *, first: bool) -> Figure:
    ends = (0, len(devices) - 1)
    owner = " and ".join(subnet.devices)
    return {
        "type": "scatter",
        "mode": "lines+markers+text",
        "name": escape(f"chosen for {owner}"),
        "legendgroup": escape(owner),
        "showlegend": first,
        "x": [escape(device) for device in devices],
        "y": [100 * subnet.on[device].of_largest for device in devices],
        "text": [f"{ROOM}<b>{escape(subnet.name)}</b>{ROOM}" if index in ends else "" for index in range(len(devices))],
        "textposition": ["middle left", *["top center"] * (len(devices) - 2), "middle right"],
        "textfont": {"color": colour, "size": 13},
        "cliponaxis": False,
        "customdata": [_said(subnet, device) for device in devices],
        "hovertemplate": "%{customdata}<extra></extra>",
        "line": {"color": colour, "width": 2},
        "marker": {
            "color": colour,
            "symbol": ["star" if device in subnet.devices else "circle" for device in devices],
            "size": [15 if device in subnet.devices else 8 for device in devices],
            "line": {"width": 1.5, "color": "$page"},
        },
    }


def _limits(compared: Compared, devices: Sequence[str]) -> Figure:
    """A bar across each device at every limit there."""
    places = []
    for device in devices:
        one = compared.subnets[0].on[device]
        largest_ms = one.ms / one.of_largest
        places += [(device, limit_ms, 100 * limit_ms / largest_ms) for limit_ms, _ in one.limits]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "limits",
        "x": [escape(device) for device, _, _ in places],
        "y": [height for _, _, height in places],
        "customdata": [f"limit {ms_text(limit_ms)}" for _, limit_ms, _ in places],
        "hovertemplate": "%{customdata}<extra></extra>",
        "marker": {"symbol": "line-ew", "size": 46, "line": {"width": 2, "color": "$limit"}},
    }


def _said(subnet: ComparedSubnet, device: str) -> str:
    one = subnet.on[device]
    head = f"<b>{escape(subnet.name)}</b> on {escape(device)}: {ms_text(one.ms)}, {percent_text(one.of_largest, 0)}"
    return f"{head}<br>{percent_text(subnet.test_accuracy)} on test<br>chosen for {escape(subnet.purpose)}"
