"""Searches side by side as a section of the report: what each dominates as it goes on, and the best within limits."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.analysis.side_by_side import TunedSearch, at_equal_number, best_within, limits_of, volumes
from search.report.figures import Figure, layout
from search.report.html import figure_box, text_with_units
from search.report.numbers import bytes_text, ms_text, percent_text

COLOURS = ("$accent", "$star", "$second", "$limit", "$dot", "$muted")


def side_by_side_section(groups: Sequence[Sequence[TunedSearch]], figures: dict[str, Figure]) -> str:
    """Returns the HTML about groups of searches that can be compared, and adds their figures; empty without any."""
    return "".join(_group(group, f"side-by-side-{number}", figures) for number, group in enumerate(groups))


def _group(searches: Sequence[TunedSearch], name: str, figures: dict[str, Figure]) -> str:
    cut = at_equal_number(searches)
    figures[name] = volume_figure(cut)
    names = " and ".join([", ".join(one.name for one in cut[:-1]), cut[-1].name])
    return (
        f"<h2>{escape(names)} side by side</h2>"
        f'<p class="note">{text_with_units(_note(cut))}</p>{figure_box(name)}{_table(cut)}'
    )


def volume_figure(searches: Sequence[TunedSearch]) -> Figure:
    """Returns what each search dominates of error, latency and bytes over the candidates it has fine-tuned."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": escape(search.name),
            "x": list(range(1, len(shares) + 1)),
            "y": [100 * share for share in shares],
            "line": {"color": COLOURS[number % len(COLOURS)], "width": 2.2, "shape": "hv"},
            "hovertemplate": "%{x} candidates: %{y:.1f} %",
        }
        for number, (search, shares) in enumerate(zip(searches, volumes(searches), strict=True))
    ]
    frame = layout("fine-tuned candidates", "dominated, %", height=360)
    return {"data": traces, "layout": frame | {"hovermode": "x"}}


def _note(searches: Sequence[TunedSearch]) -> str:
    count = len(searches[0].tuned)
    spent = ", ".join(f"{search.name} {search.epochs}" for search in searches)
    return (
        f"Each search after its first {count} fine-tuned candidates, those given up on the way included; epochs of "
        f"fine-tuning: {spent}. The figure is the share that is dominated of the box which the front of them "
        "all spans, from its best to its worst error, latency and bytes. Accuracies are of the validation images, "
        "before finalists are fine-tuned further. It is one run of each: what another seed would give is not known."
    )


def _table(searches: Sequence[TunedSearch]) -> str:
    head = "<th>latency</th><th>bytes</th>" + "".join(f"<th>{escape(search.name)}</th>" for search in searches)
    rows = []
    for latency_ms, size in limits_of(searches):
        found = [best_within(search, latency_ms, size) for search in searches]
        best = max((value for value in found if value is not None), default=None)
        texts = [(percent_text(value), value is not None and value == best) for value in found]
        cells = "".join(f"<td><b>{text}</b></td>" if is_best else f"<td>{text}</td>" for text, is_best in texts)
        limits = f"<td>{text_with_units('≤ ' + ms_text(latency_ms))}</td><td>≤ {bytes_text(size)}</td>"
        rows.append(f"<tr>{limits}{cells}</tr>")
    note = '<p class="note">The best validation accuracy within a latency and a size, the highest of a row in bold.</p>'
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'{note}<div class="figure scroll">{table}</div>'
