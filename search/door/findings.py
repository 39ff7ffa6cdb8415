"""Findings: what a search came to, as typed rows, with what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.study import Study

from ofa.errors import InvalidInput
from ofa.records import read_record
from search.candidates.figures import is_latency, objective_names
from search.candidates.limits import target_text
from search.candidates.metric_limits import meets_metrics
from search.candidates.pareto import non_dominated
from search.candidates.search_files import Finalist, Finalists, MeasuredTrial, TrialRow, Trials
from search.config.search import SearchRequest
from search.config.verbs import Export
from search.networks.quantized_network import with_precision
from search.run.cards import SubnetCard
from search.run.paths import SearchFolder
from search.run.progress import progress_shown
from search.run.scores import MetricFacts
from search.study.study import load_study
from search.subnets.extract_stage import extract_network, finalist_facts
from search.training.trained import Trained

if TYPE_CHECKING:
    import pandas

Limit = float | Mapping[str, float] | None


@dataclass(frozen=True, eq=False)
class Findings:
    """What a search came to; its files are in `folder`, which a temporary run loses with this object.

    Attributes:
        trained: the supernet and the data.
        request: what was asked for, with every default.
    """

    trained: Trained
    request: SearchRequest
    temporary: TemporaryDirectory[str] | None = None

    @property
    def folder(self) -> Path:
        """The folder of the search: trials.json, finalists.json and Optuna's journal."""
        return self.request.folder.search(self.request.name)

    @cached_property
    def metrics(self) -> tuple[MetricFacts, ...]:
        """The metrics of all scores: name, unit and direction, that which was optimized first."""
        return read_record(SearchFolder(self.folder).trials, Trials).metrics

    @property
    def metric(self) -> MetricFacts:
        """The metric that was optimized."""
        return self.metrics[0]

    @cached_property
    def trials(self) -> tuple[TrialRow, ...]:
        """Every trial in order: number, state, arch, figures (ms predicted), scores (on validation, by metric)."""
        return read_record(SearchFolder(self.folder).trials, Trials).rows

    @cached_property
    def front(self) -> tuple[TrialRow, ...]:
        """The evaluated trials that no other one beats in every objective, best first."""
        names = objective_names(self.request.search.objective, self.request.latency_figures)
        rows = list(
            {
                row.candidate: row for row in reversed(self.trials) if row.state == "evaluated" and self._keeps(row)
            }.values()
        )
        points = [row.costs(names, self.metric) for row in rows]
        if not rows:
            return ()
        best = [row for row, is_best in zip(rows, non_dominated(np.array(points)), strict=True) if is_best]
        return tuple(sorted(best, key=lambda row: (*row.costs((self.metric.name,), self.metric), row.number)))

    @property
    def finalists(self) -> tuple[Finalist, ...]:
        """What was chosen for each set of limits, measured, with those that were tried before and measured over."""
        return self._content.finalists

    @property
    def study(self) -> Study:
        """Optuna's own study, for its visualization and importances."""
        return load_study(SearchFolder(self.folder).journal, self.request.name)

    def best(self, limit: Limit = None) -> MeasuredTrial:
        """Returns the best subnet within a limit: its arch, score, measured_ms and figures.

        Args:
            limit: one that was searched for: a latency in ms, or all limits by figure. None: the most accurate of all
                that was chosen.

        Raises:
            InvalidInput: a limit that was not searched for; those that were are named.
        """
        return self._finalist(limit).chosen

    def extract(self, folder: Path | str, limit: Limit = None, *, progress: bool = True) -> SubnetCard:
        """Returns the card of the best subnet within a limit, after writing the folder that `ofa extract` writes.

        It holds model.safetensors, model.onnx, network.py, arch.json, card.json and verify.npz; `search.load` reads it.

        Args:
            folder: new, empty, or of a subnet that was extracted before.
            limit: as `best` takes it.

        Raises:
            InvalidInput: a limit that was not searched for, or a folder with other files.
        """
        finalist = self._finalist(limit)
        export = with_precision(Export(), SearchFolder(self.folder))
        with progress_shown(progress):
            calibration = self.trained.calibration(export.calibration_images)
            facts = finalist_facts(self.request.name, self._content, finalist)
            digest = finalist.chosen.tuned
            tuned_folder = None if digest is None else SearchFolder(self.folder).tuned(digest)
            return extract_network(
                self.trained, finalist.chosen.arch, Path(folder), calibration, facts, tuned_folder, export
            )

    def to_pandas(self) -> pandas.DataFrame:
        """Returns the trials as a table: one row per trial, one column per metric, figure and choice.

        Raises:
            InvalidInput: pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise InvalidInput("to_pandas() needs pandas: pip install pandas, or use .trials") from None
        rows = [
            {
                **{name: getattr(row, name) for name in ("number", "state", "seconds", "cached", "reason")},
                **{name: score.value for name, score in row.scores.items()},
                **row.figures,
                **(row.arch.values if row.arch is not None else {}),
            }
            for row in self.trials
        ]
        return pandas.DataFrame(rows)

    def __repr__(self) -> str:
        evaluated = sum(row.state == "evaluated" for row in self.trials)
        chosen = "; ".join(
            f"{target_text(finalist.target) or 'no limit'}: {self.metric.text(finalist.chosen.score)} at "
            f"{finalist.chosen.measured_ms:.4g} ms"
            for finalist in self.finalists
        )
        return f"<Findings of {evaluated} subnets: {chosen}>"

    def _keeps(self, row: TrialRow) -> bool:
        return meets_metrics(row.scores, self._content.metric_limits, self.metrics)

    @cached_property
    def _content(self) -> Finalists:
        return read_record(SearchFolder(self.folder).finalists, Finalists)

    def _finalist(self, limit: Limit) -> Finalist:
        if limit is None:
            return max(
                self.finalists,
                key=lambda each: (self.metric.quality(each.chosen.score.value), -each.chosen.measured_ms),
            )
        for finalist in self.finalists:
            if dict(finalist.target) == limit or _is_latency_of(finalist.target, limit):
                return finalist
        known = ", ".join(target_text(finalist.target) or "no limit" for finalist in self.finalists)
        raise InvalidInput(f"limit={limit!r:.80} was not searched for; there are: {known}")


def _is_latency_of(target: Mapping[str, float], limit: Any) -> bool:
    latencies = [value for name, value in target.items() if is_latency(name)]
    return latencies == [limit]
