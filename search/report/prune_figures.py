"""Figures of pruned networks: accuracy over density, density of layers, histograms of the weights that are left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from search.report.data import Level, Pruned, PrunedLayer
from search.report.figures import Figure, layout
from search.report.numbers import count_text, percent_text, signed_points

COLOURS = ("$accent", "$star", "$second", "$limit", "$dot", "$muted")
CONTROLS = {"ticket": "$accent", "reinit": "$star", "random": "$faint"}  # kinds of levels
MOST_SHOWN = 6  # networks that are visible at first in a figure of bars
MOST_LAYERS = 12  # lines of a histogram, those of the layers with the most weights


def accuracy_figure(pruned: Sequence[Pruned]) -> Figure:
    """Returns test accuracy over density (logarithmic): each network, the levels of tickets, the dense networks."""
    traces: list[Figure] = []
    names = list(dict.fromkeys(one.network for one in pruned))
    for index, network in enumerate(names):
        group = [one for one in pruned if one.network == network]
        colour = COLOURS[index % len(COLOURS)]
        traces.append(_points(network, group, colour))
        traces += _dense_lines(network, group, colour)
        for one in group:
            traces += _level_lines(one)
    frame = layout("density, %", "test accuracy, %", height=480)
    frame["xaxis"] |= {"type": "log", "tickvals": _ticks(pruned), "ticktext": [f"{t:g}" for t in _ticks(pruned)]}
    return {"data": traces, "layout": frame}


def layers_figure(pruned: Sequence[Pruned]) -> Figure:
    """Returns the density of each layer as bars, a colour a network; later ones wait in the legend."""
    traces = [
        {
            "type": "bar",
            "name": escape(one.name),
            "x": [escape(layer.name.removesuffix(".weight")) for layer in one.layers],
            "y": [100 * layer.kept / layer.weights for layer in one.layers],
            "text": [f"{count_text(layer.kept)} of {count_text(layer.weights)}" for layer in one.layers],
            "textposition": "none",
            "hovertemplate": "%{x}: %{y:.2f} %<br>%{text}",
            "marker": {"color": COLOURS[index % len(COLOURS)]},
            "visible": True if index < MOST_SHOWN else "legendonly",
        }
        for index, one in enumerate(pruned)
    ]
    frame = layout("", "density, %", height=420 + 18 * len(pruned))
    frame["barmode"] = "group"
    frame["xaxis"] |= {"tickangle": -40, "automargin": True}
    # Above the bars: below them are the names of layers, as long as they may be.
    frame["legend"] |= {"orientation": "v", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"}
    frame["margin"]["t"] = 40 + 18 * len(pruned)
    return {"data": traces, "layout": frame}


def weights_figure(pruned: Sequence[Pruned]) -> Figure:
    """Returns histograms of the weights that are left, a line a layer, with a menu of the networks."""
    traces: list[Figure] = []
    owners: list[int] = []
    for index, one in enumerate(pruned):
        largest = sorted(one.layers, key=lambda layer: -layer.weights)[:MOST_LAYERS]
        shown = [layer for layer in one.layers if layer in largest and layer.counts]
        for place, layer in enumerate(shown):
            traces.append(_histogram(layer, COLOURS[place % len(COLOURS)]) | {"visible": index == 0})
            owners.append(index)
    frame = layout("weight", "share of the layer's weights left, %", height=420)
    if len(pruned) > 1:
        frame["margin"]["t"] = 84
        frame["updatemenus"] = [_menu(pruned, owners)]
    return {"data": traces, "layout": frame}


def _points(name: str, group: Sequence[Pruned], colour: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": escape(name),
        "x": [100 * one.density for one in group],
        "y": [100 * one.test_accuracy for one in group],
        "text": [_said(one) for one in group],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": colour, "size": 11, "line": {"width": 1.5, "color": "$page"}},
    }


def _said(one: Pruned) -> str:
    change = "" if one.dense_test_accuracy is None else signed_points(one.test_accuracy - one.dense_test_accuracy)
    dense = f" ({change} of dense)" if change else ""
    sizes = f"{count_text(one.kept)} of {count_text(one.weights)} weights ({percent_text(one.density)})"
    return f"<b>{escape(one.name)}</b><br>{percent_text(one.test_accuracy)} on test{dense}<br>{sizes}"


def _dense_lines(network: str, group: Sequence[Pruned], colour: str) -> list[Figure]:
    """A dotted line for each dense network, over the densities of what came of it."""
    lines: list[Figure] = []
    for accuracy in dict.fromkeys(one.dense_test_accuracy for one in group):
        if accuracy is None:
            continue
        low = min(100 * one.density for one in group if one.dense_test_accuracy == accuracy)
        lines.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": [low, 100.0],
                "y": [100 * accuracy] * 2,
                "name": f"{escape(network)}, dense",
                "showlegend": not lines,
                "hovertemplate": f"dense: {percent_text(accuracy)}<extra></extra>",
                "line": {"color": colour, "width": 1.5, "dash": "dot"},
            }
        )
    return lines


def _level_lines(one: Pruned) -> list[Figure]:
    """A line each of tickets and of their controls, over the levels."""
    lines = []
    for kind in dict.fromkeys(level.kind for level in one.levels):
        levels: list[Level] = [level for level in one.levels if level.kind == kind]
        lines.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{escape(one.name)}: {escape(kind)}",
                "x": [100 * level.density for level in levels],
                "y": [100 * level.test_accuracy for level in levels],
                "hovertemplate": f"{escape(kind)}, density %{{x:.2f}} %: %{{y:.2f}} %<extra></extra>",
                "line": {"color": CONTROLS.get(kind, "$muted"), "width": 2},
                "marker": {"size": 5},
            }
        )
    return lines


def _histogram(layer: PrunedLayer, colour: str) -> Figure:
    width = (layer.high - layer.low) / len(layer.counts)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(layer.name),
        "x": [layer.low + (place + 0.5) * width for place in range(len(layer.counts))],
        "y": [100 * count / sum(layer.counts) for count in layer.counts],
        "line": {"color": colour, "width": 2, "shape": "hvh"},
        "hovertemplate": "%{x:.3g}: %{y:.2f} %",
    }


def _menu(pruned: Sequence[Pruned], owners: Sequence[int]) -> dict[str, Any]:
    buttons = [
        {"label": escape(one.name), "method": "restyle", "args": [{"visible": [owner == index for owner in owners]}]}
        for index, one in enumerate(pruned)
    ]
    place = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    return {"type": "dropdown", "buttons": buttons, "bgcolor": "$card", "bordercolor": "$grid", **place}


def _ticks(pruned: Sequence[Pruned]) -> list[float]:
    """Percentages 1, 2, 5, 10, ... that span the densities."""
    densities = [one.density for one in pruned] + [level.density for one in pruned for level in one.levels]
    low = math.floor(math.log10(max(100 * min(densities), 1e-3)))
    return [step * 10.0**power for power in range(low, 2) for step in (1, 2, 5)] + [100.0]
