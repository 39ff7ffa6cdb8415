"""Zero-shot: the quality of Archs in the supernet, learned from some of them and predicted for all.

Quality is the metric with a sign, so that more is better. That of an Arch in the supernet mostly predicts that of the
fine-tuned candidate, and needs no training: a few hundred evaluations before the first fine-tuning guide the sampler.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from ofa.arch import Arch
from ofa.records import Part, Record, read_record, write_record
from ofa.task import Score
from search.candidates.figures import BYTES_ON_DISK, Floats
from search.candidates.limits import Limits, meets
from search.candidates.space import Candidate
from search.candidates.trials import trial_rows
from search.config.tuning import LEAST_ARCHS
from search.run.locks import only_one
from search.samplers.quality_model import Pool, QualityModel, fit_quality, pool_of
from search.study.plan import SearchPlan
from search.study.study import Progress, run_study

OF_PRUNED = ("bytes", BYTES_ON_DISK)  # a limit on them concerns pruned candidates, not their Arch


class EvaluatedArch(Part, frozen=True, kw_only=True):
    """An Arch with the score of the objective in the supernet."""

    arch: Arch
    score: Score


class EvaluatedArchs(Record, frozen=True, kw_only=True):
    """The Archs that were evaluated in the supernet before the first fine-tuning."""

    KIND: ClassVar[str] = "evaluated archs"
    REMEDY: ClassVar[str] = "delete it: the same ofa search evaluates them again"

    rows: tuple[EvaluatedArch, ...]


@dataclass(frozen=True)
class ZeroShot:
    """The expected quality in the supernet of every Arch, learned from the trials of a search over Archs only.

    Attributes:
        plan: the plan of that search.
        file: the file of the evaluated Archs, with their scores.
    """

    plan: SearchPlan
    file: Path

    def learn(self, progress: Progress | None = None) -> None:
        """Searches over Archs only and writes the evaluated ones, unless the file exists."""
        with only_one(self.file.with_suffix(".lock"), "search: another job evaluates Archs in the supernet; waiting"):
            if self.file.exists():
                return
            with tempfile.TemporaryDirectory() as folder:
                rows = trial_rows(run_study(self.plan, Path(folder) / "journal.log", progress).study)
            evaluated = [
                EvaluatedArch(arch=row.arch, score=row.score)
                for row in rows
                if row.state == "evaluated" and row.arch is not None and row.score is not None
            ]
            write_record(self.file, EvaluatedArchs(rows=tuple(evaluated)))

    def __call__(self, candidates: Sequence[Candidate]) -> Floats:
        """Returns the expected quality of the Arch of each candidate, (candidates,).

        All are equal if there were too few Archs to learn from.

        Raises:
            InvalidInput: no Arch was evaluated yet.
        """
        if self._model is None:
            return np.zeros(len(candidates))
        pool = self._pool([candidate.arch for candidate in candidates])
        return self._model.quality(self._model.predict(pool)[0], pool)

    def best(self, limits: Limits) -> list[Arch]:
        """Returns the best of the evaluated Archs for each target of `limits`, if any meets it."""
        archs, qualities = self._evaluated
        if not archs:
            return []
        figures = self.plan.figures([Candidate(arch) for arch in archs])
        best_archs: dict[Arch, None] = {}
        for target in of_archs(limits).targets:
            allowed = meets(figures, limits.allowed(target))
            if allowed.any():
                best_archs[archs[int(np.argmax(np.where(allowed, qualities, -np.inf)))]] = None
        return list(best_archs)

    @cached_property
    def _evaluated(self) -> tuple[list[Arch], Floats]:
        """The Archs of the file, and their qualities."""
        rows = read_record(self.file, EvaluatedArchs).rows
        qualities = [self.plan.metric.quality(row.score.value) for row in rows]
        return [row.arch for row in rows], np.array(qualities, dtype=np.float64)

    @cached_property
    def _model(self) -> QualityModel | None:
        archs, qualities = self._evaluated
        if len(archs) < LEAST_ARCHS:
            return None
        return fit_quality(self._pool(archs), qualities, np.random.default_rng(self.plan.seed))

    def _pool(self, archs: Sequence[Arch]) -> Pool:
        candidates = [Candidate(arch) for arch in archs]
        return pool_of(self.plan.space, candidates, self.plan.figures(candidates), fractions=self._fractions)

    @property
    def _fractions(self) -> bool:
        return self.plan.metric.is_fraction


def of_archs(limits: Limits) -> Limits:
    """Returns the limits that an Arch has to meet before anything is removed from it."""
    targets = ({name: limit for name, limit in target.items() if name not in OF_PRUNED} for target in limits.targets)
    distinct = {tuple(sorted(target.items())): target for target in targets}
    return Limits(tuple(distinct.values()), limits.margin)
