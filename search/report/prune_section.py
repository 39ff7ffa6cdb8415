"""Pruned networks as a section of the report: accuracy over density, a table, densities of layers, weights left."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.report.data import Pruned
from search.report.figures import Figure
from search.report.html import figure_box
from search.report.numbers import count_text, percent_text, signed_points
from search.report.prune_figures import accuracy_figure, layers_figure, weights_figure

TITLES = ("density", "weights kept", "test accuracy", "of dense", "validation", "MACs kept", "slim params", "slim MACs")


def prune_section(pruned: Sequence[Pruned], figures: dict[str, Figure]) -> str:
    """Returns the HTML about all pruned networks of a run, and adds its figures; empty where there are none."""
    if not pruned:
        return ""
    figures["prune-accuracy"] = accuracy_figure(pruned)
    parts = [
        "<h2>Pruned networks</h2>"
        '<p class="note">Density is the share of the prunable weights that is kept. Dotted lines are the dense '
        f"networks that the recipes started from.</p>{figure_box('prune-accuracy')}{_table(pruned)}"
    ]
    for index, network in enumerate(dict.fromkeys(one.network for one in pruned)):
        group = [one for one in pruned if one.network == network]
        layers, weights = f"prune-layers-{index}", f"prune-weights-{index}"
        figures[layers], figures[weights] = layers_figure(group), weights_figure(group)
        parts.append(
            f'<h2>Layers of {escape(network)}</h2><p class="note">Density of each layer, in order of the model.</p>'
            f'{figure_box(layers)}<p class="note">Weights that are left, layer by layer: the gap around zero is what '
            f"was removed. Choose a network in the menu.</p>{figure_box(weights)}"
        )
    return "".join(parts)


def _table(pruned: Sequence[Pruned]) -> str:
    head = '<th class="text">network</th>' + "".join(f"<th>{title}</th>" for title in TITLES)
    rows = "".join(_row(one) for one in pruned)
    return f'<div class="figure scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _row(one: Pruned) -> str:
    change = None if one.dense_test_accuracy is None else one.test_accuracy - one.dense_test_accuracy
    cells = (
        percent_text(one.density),
        f"{count_text(one.kept)} of {count_text(one.weights)}",
        percent_text(one.test_accuracy),
        signed_points(change),
        percent_text(one.validation_accuracy),
        count_text(one.kept_macs),
        count_text(one.slim_params),
        count_text(one.slim_macs),
    )
    inner = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr><td class="text"><code>{escape(one.name)}</code></td>{inner}</tr>'
