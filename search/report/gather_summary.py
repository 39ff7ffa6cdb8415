"""Gathers the summary at the head of a report, analyses, fine-tuned searches and warnings."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from ofa.records import Object, Part, Text, convert, read_record
from search.analysis.analyze import Analysis, analyze
from search.analysis.columns import searched_settings
from search.analysis.side_by_side import TunedCandidate, TunedSearch
from search.candidates.search_files import Finalists, TrialRow, Trials
from search.networks.folder import SubnetFolder
from search.report.data import Trial, Warned
from search.run.cards import SubnetCard
from search.run.compressed_cards import CompressedCard, CompressedFolder
from search.run.paths import NetworkFolder, PrunedFolder, RunFolder, SearchFolder, SupernetFolder
from search.run.progress import duration
from search.run.pruned_cards import PrunedCard, SlimCard
from search.run.scores import MetricFacts
from search.run.stages import is_complete, stamp_path, stamped_config
from search.run.training_cards import DenseCard, SupernetCard
from search.text import count_text


class Named(Part, frozen=True, kw_only=True):
    """A function that a configuration names."""

    target: Text = msgspec.field(name="_target_")
    name: Text | None = None


class WithData(Part, frozen=True, kw_only=True):
    """The group `data`."""

    dataset: Named


class MadeWith(Part, frozen=True, kw_only=True):
    """The part of a training's configuration that the report shows."""

    model: Named
    data: WithData


def summary_of(card: SupernetCard, folder: Path) -> dict[str, str]:
    """Returns the facts at the head of a report, by label.

    Args:
        card: the card of the supernet.
        folder: the folder of the supernet, whose stamp holds its configuration.

    Raises:
        InvalidInput: the stamp names no model or no data.
    """
    config: MadeWith = convert(stamped_config(folder), MadeWith, str(stamp_path(folder)))
    dataset, metric = config.data.dataset, card.metrics[0]
    largest, smallest = (ends.test[metric.name] for ends in (card.scores.largest, card.scores.smallest))
    constant = None if card.baseline is None else card.baseline.test[metric.name]
    return {
        "model": config.model.target.rpartition(".")[2],
        "data": dataset.name or dataset.target.rpartition(".")[2],
        "subnets in the space": count_text(card.subnets),
        "judged by": f"{metric.with_unit()} ({metric.better})",
        "largest": f"{metric.text(largest)} test",
        "smallest": f"{metric.text(smallest)} test",
        **({} if constant is None else {"baseline": f"{metric.text(constant.value)} test (a constant answer)"}),
        **({} if card.probe is None else {"largest vs. alone": card.probe.text(metric)}),
        "test examples": f"{largest.examples:,}",
        "training": duration(card.seconds),
    }


def analysis_of(trials: Sequence[Trial], metric: MetricFacts, config: Object, given_up: int) -> Analysis:
    """Returns the Analysis of the trials that have a score, by its quality: larger is better.

    Args:
        metric: of the scores.
        config: the configuration of the search.
        given_up: how many other trials stopped early, with scores of less training.
    """
    evaluated = [(trial, metric.quality(trial.score.value)) for trial in trials if trial.score is not None]
    names = list(dict.fromkeys(name for trial, _ in evaluated for name in trial.settings))
    return analyze(
        [trial.arch for trial, _ in evaluated],
        [trial.settings for trial, _ in evaluated],
        [quality for _, quality in evaluated],
        searched_settings(config, names),
        given_up,
    )


def gather_tuned(run: RunFolder, names: Sequence[str]) -> tuple[tuple[TunedSearch, ...], ...]:
    """Returns groups of at least two searches: for the same device, with the same metric and epochs per candidate, each
    with a candidate that was fine-tuned to the end.

    Args:
        names: the names of complete searches.
    """
    groups: dict[tuple[str, ...], list[TunedSearch]] = {}
    for name in names:
        files = SearchFolder(run.search(name))
        search = stamped_config(files.root).get("search", {})
        tuning = search.get("tuning") if isinstance(search, Mapping) else None
        if not tuning:
            continue
        finalists = read_record(files.finalists, Finalists)
        latency = next(iter(finalists.devices))
        content = read_record(files.trials, Trials)
        metric = content.metrics[0]
        tuned = tuple(candidate for row in content.rows if (candidate := _tuned(row, latency, metric)) is not None)
        if any(candidate.quality is not None for candidate in tuned):
            group = (finalists.device, latency, str(tuning.get("epochs")), metric.name)
            groups.setdefault(group, []).append(TunedSearch(name, tuned, metric))
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _tuned(row: TrialRow, latency: str, metric: MetricFacts) -> TunedCandidate | None:
    """A trial that was fine-tuned for at least one epoch; None for others."""
    figures = row.figures
    if row.state not in ("evaluated", "given up") or not row.history or not {latency, "bytes"} <= figures.keys():
        return None
    ended = row.score if row.state == "evaluated" else None
    quality = None if ended is None else metric.quality(ended.value)
    return TunedCandidate(quality, figures[latency], figures["bytes"], len(row.history))


CardKind = (
    type[SupernetCard] | type[DenseCard] | type[PrunedCard] | type[SlimCard] | type[CompressedCard] | type[SubnetCard]
)


def gather_warnings(run: RunFolder) -> tuple[Warned, ...]:
    """Returns the warnings on every finished network of a run, in the order in which they are made."""
    return tuple(
        Warned(str(card.parent.relative_to(run.root)), line)
        for card, kind in _cards(run)
        if os.path.lexists(card)  # whatever stands there: reading it says what is wrong
        for line in read_record(card, kind).warnings
    )


def _cards(run: RunFolder) -> Iterator[tuple[Path, CardKind]]:
    if is_complete(run.supernet):
        yield SupernetFolder(run.supernet).card, SupernetCard
    for folder in _complete(run.dense):
        yield NetworkFolder(folder).card, DenseCard
    for folder in _complete(run.pruned):
        yield PrunedFolder(folder).card, PrunedCard
        yield SubnetFolder(PrunedFolder(folder).slim).card, SlimCard
    for folder in _complete(run.compressed):
        yield CompressedFolder(folder).card, CompressedCard
    for folder in sorted(run.subnets.glob("*/")):
        yield SubnetFolder(folder).card, SubnetCard


def _complete(parent: Path) -> list[Path]:
    return [
        path for path in sorted(parent.glob("*/")) if not path.name.endswith((".new", ".old")) and is_complete(path)
    ]
