"""The picture of the lottery experiment: error against density, a line a kind, bands of one standard deviation."""

from __future__ import annotations

import statistics
from pathlib import Path

import plotly.graph_objects as go

from benchmarks.pruning.cells import Cells, column

KINDS = {
    "ticket": ("ticket", "#1b6ca8"),
    "reinit": ("same mask, new initial weights", "#d1495b"),
    "random": ("random mask", "#7a7a7a"),
}


def write_figure(cells: Cells, path: Path) -> None:
    """Writes the figure as a self-contained HTML page; docs/images/lottery.png is a picture of it."""
    rows = cells.rows()
    figure = go.Figure()
    dense = column(rows, "error", kind="ticket", asked=1.0)
    for kind, (name, color) in KINDS.items():
        own = sorted({(row["density"], row["asked"]) for row in rows if row["kind"] == kind and row["asked"] < 1})
        found = {100 * density: column(rows, "error", kind=kind, asked=asked) for density, asked in own}
        means = [statistics.fmean(errors) for errors in found.values()]
        spreads = [statistics.stdev(errors) if len(errors) > 1 else 0.0 for errors in found.values()]
        figure.add_scatter(
            x=list(found),
            y=means,
            error_y={"type": "data", "array": spreads, "thickness": 1.2, "width": 4},
            name=name,
            mode="lines+markers",
            line={"color": color, "width": 2},
        )
    figure.add_hline(
        y=statistics.fmean(dense),
        line={"color": "#333333", "dash": "dash", "width": 1},
        annotation_text=f"dense, {statistics.fmean(dense):.2f} %",
        annotation_position="bottom right",
    )
    figure.update_xaxes(type="log", autorange="reversed", title="weights kept, %", tickvals=[50, 25, 10, 5, 3])
    figure.update_yaxes(title="test error, %", rangemode="normal")
    figure.update_layout(
        template="plotly_white",
        width=820,
        height=420,
        margin={"l": 60, "r": 20, "t": 20, "b": 50},
        legend={"x": 0.02, "y": 0.98, "bgcolor": "rgba(255,255,255,0.8)"},
        font={"family": "system-ui, sans-serif", "size": 14},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.write_html(path, include_plotlyjs=True, config={"displayModeBar": False})
