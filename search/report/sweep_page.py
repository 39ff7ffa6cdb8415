"""The page of a sweep as one HTML text: targets over seeds, fronts with their spread, every search."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from search.report.document import document
from search.report.figures import Figure
from search.report.html import facts_list, figure_box, text_with_units
from search.report.numbers import limits_text, percent_text, times_text
from search.report.sweep_data import SweepChoice, SweepData, SweepFronts
from search.report.sweep_figure import fronts_figure
from search.report.sweep_text import TITLES, seeds_text, target_cells, target_limit
from search.spread import spread

CHOICE_TITLES = ("search", "seed", "limit", "validation", "test accuracy", "measured", "evaluations")
TEXT_COLUMNS = ("search", "limit", "measured")  # of words, which read from the left


def render_sweep(data: SweepData) -> str:
    """Returns the page, complete in itself: scripts and styles are inside, nothing is fetched."""
    figures: dict[str, Figure] = {}
    sections = [_header(data), _targets(data)]
    for index, devices in enumerate(dict.fromkeys(one.devices for one in data.fronts)):
        fronts = [one for one in data.fronts if one.devices == devices]
        name = f"fronts-{index}"
        figures[name] = fronts_figure(fronts)
        sections.append(
            f"<h2>Accuracy and latency on {escape(' and '.join(devices))}</h2>"
            f'<p class="note">{text_with_units(_fronts_note(fronts))}</p>{figure_box(name)}'
        )
    sections.append(_searches(data))
    commands = escape("\n".join(data.commands))
    made_with = ", ".join(f"{name} {text}" for name, text in data.versions.items())
    sections.append(f"<h2>How to make this page</h2><pre>{commands}</pre><footer>{escape(made_with)}</footer>")
    return document(f"{data.run} · ofa sweep", sections, figures)


def _header(data: SweepData) -> str:
    count = len(data.searches)
    searches = "One search" if count == 1 else f"{count} searches"
    devices = f"{searches} over one supernet, for {' and '.join(data.devices)}"
    seeds = "seed" if len(data.seeds) == 1 else "seeds"
    facts = {"targets": str(len(data.targets)), seeds: seeds_text(data.seeds)}
    if data.unfinished:
        facts["not finished"] = ", ".join(data.unfinished)
    return (
        f'<p class="eyebrow">ofa · sweep of run {escape(data.run)}</p><h1>{escape(devices)}</h1>'
        f'<p class="lead">{text_with_units(_lead(data))}</p>{facts_list(facts)}'
    )


def _lead(data: SweepData) -> str:
    """How much the seed decides, at the target where it decides most."""
    spreads = [(spread([one.validation_accuracy for one in target.choices]), target) for target in data.targets]
    repeated = [
        (100 * (value.most - value.least), target) for value, target in spreads if value and value.most > value.least
    ]
    if not any(len(target.seeds) > 1 for target in data.targets):
        return "Each target was searched with one seed, so nothing is known of what another one would have found."
    if not repeated:
        return "Whatever the target, all of its seeds found subnets of the same validation accuracy."
    points, target = max(repeated, key=lambda pair: pair[0])
    limits = limits_text(target.choices[0].limits, "") or "no limit"
    where = f" on {' and '.join(target.devices)}" if len(data.devices) > 1 and len(target.devices) == 1 else ""
    alike = [one for one in data.targets if (one.devices, target_limit(one)) == (target.devices, target_limit(target))]
    which = f" in {target.search}" if len(alike) > 1 else ""
    return (
        f"The seed decides most for {limits}{where}{which}: from the least to the most accurate of its "
        f"{len(target.choices)} subnets it is {points:.2f} points on validation. Latencies of chosen subnets are "
        "measured, batch 1."
    )


def _targets(data: SweepData) -> str:
    note = (
        "A row a target: the mean over seeds ± the sample standard deviation. Validation accuracies are what subnets "
        "were chosen by. Test accuracies are there once ofa extract has been run."
    )
    rows = [target_cells(target) for target in data.targets]
    return f'<h2>Chosen subnets over seeds</h2><p class="note">{text_with_units(note)}</p>{_table(TITLES, rows)}'


def _fronts_note(fronts: Sequence[SweepFronts]) -> str:
    seeds = max(len(one.by_seed) for one in fronts)
    where = f" on {fronts[0].devices[0]}, the first of the devices" if len(fronts[0].devices) > 1 else ""
    text = f"The best accuracy among the evaluated candidates within each predicted latency{where}"
    if seeds > 1:
        text += ": the line is the mean over seeds, the area from the least to the most of them, where all have one"
    return f"{text}. All limits of a seed count together. Stars are the chosen subnets where they were measured."


def _searches(data: SweepData) -> str:
    rows = [_choice_cells(choice) for target in data.targets for choice in target.choices]
    return f"<h2>Every search</h2>{_table(CHOICE_TITLES, rows)}"


def _choice_cells(choice: SweepChoice) -> tuple[str, ...]:
    return (
        choice.search,
        str(choice.seed),
        limits_text(choice.limits, "≤ ") or "none",
        percent_text(choice.validation_accuracy),
        percent_text(choice.test_accuracy),
        times_text(choice.times),
        str(choice.evaluations),
    )


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table whose first column is of names."""
    styles = [' class="text"' if title in TEXT_COLUMNS else "" for title in titles]
    head = "".join(f"<th{style}>{escape(title)}</th>" for title, style in zip(titles, styles, strict=True))
    body = "".join(f"<tr>{_cells(cells, styles)}</tr>" for cells in rows)
    return f'<div class="figure scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cells(cells: Sequence[str], styles: Sequence[str]) -> str:
    name, *others = map(text_with_units, cells)
    shown = [f"<code>{name}</code>", *others]
    return "".join(f"<td{style}>{text}</td>" for text, style in zip(shown, styles, strict=True))
