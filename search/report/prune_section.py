"""The section on pruned networks: the metric over density, a table, layers, remaining weights; gathering it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any

from ofa.records import read_record
from search.networks.folder import SubnetFolder
from search.report.data import Level, Pruned
from search.report.document import LEVELS, Section, series_color, series_dash
from search.report.figures import Figure, layout, lines, logarithmic, markers
from search.run.paths import PrunedFolder, RunFolder
from search.run.pruned_cards import Histogram, PrunedCard
from search.run.scores import MetricFacts
from search.run.stages import is_complete
from search.text import NOTHING, count_text, percent_text

SIZES: Mapping[str, Callable[[Pruned], int | None]] = {  # a column where a network has one
    "MACs kept": lambda pruned: pruned.kept_macs,
    "slim params": lambda pruned: pruned.slim_params,
    "slim MACs": lambda pruned: pruned.slim_macs,
}
MOST_SHOWN = 6  # networks visible initially in a figure of bars
MOST_LAYERS = 12  # lines of a histogram, for the layers with the most weights


def prune_section(pruned: Sequence[Pruned]) -> Section | None:
    """Returns the section about all pruned networks of a run; None if there are none."""
    if not pruned:
        return None
    metric = pruned[0].metric  # of one task: a run has one, unless its networks were given others
    figures = {"prune-scores": scores_figure(pruned, metric)}
    groups = []
    for index, network in enumerate(dict.fromkeys(result.network for result in pruned)):
        group = [result for result in pruned if result.network == network]
        layers, weights = f"prune-layers-{index}", f"prune-weights-{index}"
        figures |= {layers: layers_figure(group), weights: weights_figure(group)}
        groups.append((network, layers, weights, len(group) > 1))
    sizes = [title for title, size in SIZES.items() if any(size(result) is not None for result in pruned)]
    return Section(
        "prune.html",
        {
            "columns": (
                *("network", "density", "weights kept", metric.heading("test"), "vs. dense", "validation"),
                *sizes,
            ),
            "rows": [(result.name, _cells(result, sizes), _links(result)) for result in pruned],
            "groups": groups,
        },
        figures,
    )


def _cells(pruned: Pruned, sizes: Sequence[str]) -> tuple[str, ...]:
    dense, metric = pruned.dense_test, pruned.metric
    return (
        percent_text(pruned.density),
        f"{count_text(pruned.kept)} of {count_text(pruned.weights)}",
        metric.text(pruned.test),
        NOTHING if dense is None else metric.gain_or_difference_text(pruned.gain, pruned.test, dense),
        metric.text(pruned.validation),
        *(count_text(SIZES[title](pruned)) for title in sizes),
    )


def _links(pruned: Pruned) -> list[tuple[str, str]]:
    """Paths of a network's files from the report's folder, each with its path in the network's own folder."""
    return [(path, path.split("/", 2)[-1]) for path in pruned.files]


def scores_figure(pruned: Sequence[Pruned], metric: MetricFacts) -> Figure:
    """Returns the metric on test over density (logarithmic): each network, the levels of tickets, dense networks."""
    traces: list[Figure] = []
    for index, network in enumerate(dict.fromkeys(result.network for result in pruned)):
        group = [result for result in pruned if result.network == network]
        color = series_color(index)
        traces.append(_points(network, group, color))
        traces += _dense_lines(network, group, color)
        for result in group:
            traces += _level_lines(result)
    frame = layout("density, %", metric.axis("test"), height=480)
    densities = [result.density for result in pruned] + [level.density for result in pruned for level in result.levels]
    frame["xaxis"] = logarithmic(frame["xaxis"], [max(100 * density, 1e-3) for density in densities], "{:g}".format)
    return {"data": traces, "layout": frame}


def layers_figure(pruned: Sequence[Pruned]) -> Figure:
    """Returns the density of each layer as bars, one color per network; later ones are hidden behind the legend."""
    traces = [
        {
            "type": "bar",
            "name": escape(result.name),
            "x": [escape(layer.name.removesuffix(".weight")) for layer in result.layers],
            "y": [100 * layer.kept / layer.weights for layer in result.layers],
            "text": [f"{count_text(layer.kept)} of {count_text(layer.weights)}" for layer in result.layers],
            "textposition": "none",
            "hovertemplate": "%{x}: %{y:.2f} %<br>%{text}",
            "marker": {"color": series_color(index)},
            "visible": True if index < MOST_SHOWN else "legendonly",
        }
        for index, result in enumerate(pruned)
    ]
    frame = layout("", "density, %", height=420 + 18 * len(pruned))
    frame["barmode"] = "group"
    frame["xaxis"] |= {"autotickangles": [0, -40, -90]}  # slanted where they have no room
    # Above the bars, since the names of layers below them can be long.
    frame["legend"] |= {"orientation": "v", "xanchor": "left", "y": 1.02, "yref": "paper"}
    frame["margin"]["t"] = 40 + 18 * len(pruned)
    return {"data": traces, "layout": frame}


def weights_figure(pruned: Sequence[Pruned]) -> Figure:
    """Returns histograms of the remaining weights, one line per layer, with a menu of the networks."""
    traces: list[Figure] = []
    owners: list[int] = []
    for index, result in enumerate(pruned):
        largest = sorted(result.layers, key=lambda layer: -layer.weights)[:MOST_LAYERS]
        histograms = [(layer.name, layer.histogram) for layer in result.layers if layer in largest and layer.histogram]
        traces += [_histogram(*each, number) | {"visible": index == 0} for number, each in enumerate(histograms)]
        owners += [index] * len(histograms)
    frame = layout("weight", "share of its weights, %", height=420)
    if len(pruned) > 1:
        frame["margin"]["t"] = 84
        frame["updatemenus"] = [_menu(pruned, owners)]
    return {"data": traces, "layout": frame}


def _points(name: str, group: Sequence[Pruned], color: str) -> Figure:
    return markers(
        escape(name),
        [100 * result.density for result in group],
        [result.metric.shown(result.test.value) for result in group],
        map(_text, group),
        color=color,
        size=11,
        line={"width": 1.5, "color": "$page"},
    )


def _text(pruned: Pruned) -> str:
    dense, metric = pruned.dense_test, pruned.metric
    by = "" if dense is None else metric.gain_or_difference_text(pruned.gain, pruned.test, dense)
    change = by and f" ({by} vs. dense)"
    sizes = f"{count_text(pruned.kept)} of {count_text(pruned.weights)} weights ({percent_text(pruned.density)})"
    return f"<b>{escape(pruned.name)}</b><br>{metric.text(pruned.test)} on test{change}<br>{sizes}"


def _dense_lines(network: str, group: Sequence[Pruned], color: str) -> list[Figure]:
    """A dotted line for each dense network, over the densities of the networks pruned from it."""
    traces: list[Figure] = []
    metric = group[0].metric
    for score in dict.fromkeys(result.dense_test for result in group):
        if score is None:
            continue
        low = min(100 * result.density for result in group if result.dense_test == score)
        line = lines(
            f"{escape(network)}, dense",
            [low, 100.0],
            [metric.shown(score.value)] * 2,
            color=color,
            width=1.5,
            dash="dot",
        )
        template = f"dense: {metric.text(score)}<extra></extra>"
        traces.append(line | {"showlegend": not traces, "hovertemplate": template})
    return traces


def _level_lines(pruned: Pruned) -> list[Figure]:
    """One line for tickets and one for each control, over the levels."""
    traces = []
    for kind in dict.fromkeys(level.kind for level in pruned.levels):
        levels: list[Level] = [level for level in pruned.levels if level.kind == kind]
        x, y = [100 * level.density for level in levels], [pruned.metric.shown(level.test.value) for level in levels]
        line = lines(f"{escape(pruned.name)}: {escape(kind)}", x, y, color=LEVELS.get(kind, "$muted"), width=2)
        template = f"{escape(kind)}, density %{{x:.2f}} %: %{{y:.4g}} {escape(pruned.metric.unit)}<extra></extra>"
        traces.append(line | {"mode": "lines+markers", "hovertemplate": template, "marker": {"size": 5}})
    return traces


def _histogram(name: str, histogram: Histogram, number: int) -> Figure:
    low, counts = histogram.low, histogram.counts
    width = (histogram.high - low) / len(counts)
    x = [low + (number + 0.5) * width for number in range(len(counts))]
    y = [100 * count / sum(counts) for count in counts]
    line = lines(escape(name), x, y, color=series_color(number), dash=series_dash(number), width=2, shape="hvh")
    return line | {"hovertemplate": "%{x:.3g}: %{y:.2f} %"}


def _menu(pruned: Sequence[Pruned], owners: Sequence[int]) -> dict[str, Any]:
    buttons = [
        {"label": escape(result.name), "method": "restyle", "args": [{"visible": [owner == index for owner in owners]}]}
        for index, result in enumerate(pruned)
    ]
    placement = {"x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"}
    return {"type": "dropdown", "buttons": buttons, "bgcolor": "$card", "bordercolor": "$grid", **placement}


def gather_pruned(run: RunFolder) -> tuple[Pruned, ...]:
    """Returns the pruned networks of a run that are finished, densest first for each network.

    Raises:
        InvalidInput: a damaged card; names it.
    """
    folders = [path for path in sorted(run.pruned.glob("*/")) if not path.name.endswith((".new", ".old"))]
    networks = [_pruned(PrunedFolder(path)) for path in folders if is_complete(path)]
    return tuple(sorted(networks, key=lambda network: (network.network, -network.density, network.name)))


def _pruned(files: PrunedFolder) -> Pruned:
    card = read_record(files.card, PrunedCard)
    dense, slim, metric = card.dense, card.slim, card.metrics[0]
    return Pruned(
        name=card.name,
        network=card.network,
        metric=metric,
        test=card.scores.test[metric.name],
        validation=card.scores.validation[metric.name],
        dense_test=None if dense is None else dense.scores.test[metric.name],
        gain=None if card.gain is None else card.gain.test,
        density=card.density,
        weights=card.weights,
        kept=card.kept,
        kept_macs=card.kept_macs,
        slim_params=None if slim is None else slim.params,
        slim_macs=None if slim is None else slim.macs,
        layers=card.layers,
        levels=tuple(Level(row.kind, row.density, row.scores.test[metric.name]) for row in card.levels),
        files=_files(files),
    )


def _files(files: PrunedFolder) -> tuple[str, ...]:
    """The paths of the portable files of the full-size and the slim network, from the report's folder."""
    folders = (SubnetFolder(files.root), SubnetFolder(files.slim))
    paths = [path for folder in folders for path in (folder.onnx, folder.source) if path.is_file()]
    return tuple(path.relative_to(files.root.parents[1]).as_posix() for path in paths)
