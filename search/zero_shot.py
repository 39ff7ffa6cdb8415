"""Zero-shot: the accuracy of Archs in the supernet, learned from some of them, so that it can be told for all.

A fine-tuned candidate is mostly as good as its Arch was in the supernet. An evaluation there needs no training: some
hundred of them, before the first fine-tuning, tell a sampler where to look.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json
from search.candidate import Candidate
from search.figures import Floats
from search.limits import Limits, meets
from search.locks import only_one
from search.plan import SearchPlan
from search.samplers.accuracy_model import AccuracyModel, Pool, fit_accuracy, pool_of
from search.study import run_study
from search.trials import trial_rows
from search.work import Progress

LEAST = 10  # Archs, to learn anything from
OF_PRUNED = "bytes"  # a limit on it is one of pruned candidates: it says nothing of an Arch


@dataclass(frozen=True)
class ZeroShot:
    """The expected accuracy in the supernet of every Arch, learned from the trials of a search over Archs alone.

    Attributes:
        plan: of that search.
        file: where the Archs that it evaluated are kept, with their accuracies.
    """

    plan: SearchPlan
    file: Path

    def learn(self, progress: Progress | None = None) -> None:
        """Searches over Archs alone and writes what was evaluated, where that is not there yet."""
        with only_one(self.file.with_suffix(".lock"), "search: another job evaluates Archs in the supernet; waiting"):
            if self.file.exists():
                return
            with tempfile.TemporaryDirectory() as folder:
                rows = trial_rows(run_study(self.plan, Path(folder) / "journal.log", progress).study)
            told = [
                {"arch": row.arch.to_dict(), "accuracy": row.accuracy}
                for row in rows
                if row.state == "evaluated" and row.arch is not None
            ]
            write_json(self.file, told)

    def __call__(self, candidates: Sequence[Candidate]) -> Floats:
        """Returns the expected accuracy of the Arch of each candidate, a fraction, (candidates,).

        All are equal where there were too few Archs to learn from.

        Raises:
            InvalidInput: nothing was evaluated yet.
        """
        if self._model is None:
            return np.zeros(len(candidates))
        pool = self._pool([candidate.arch for candidate in candidates])
        return self._model.accuracy(self._model.predict(pool)[0], pool)

    def best(self, limits: Limits) -> list[Arch]:
        """Returns the most accurate of the evaluated Archs for each target of `limits`, where there is one."""
        archs, accuracies = self._evaluated
        if not archs:
            return []
        figures = self.plan.figures([Candidate(arch) for arch in archs])
        found: dict[Arch, None] = {}
        for target in of_archs(limits).targets:
            good = meets(figures, limits.allowed(target))
            if good.any():
                found[archs[int(np.argmax(np.where(good, accuracies, -1.0)))]] = None
        return list(found)

    @cached_property
    def _evaluated(self) -> tuple[list[Arch], Floats]:
        """The Archs of the file, and their accuracies."""
        rows = read_json(self.file)
        return [Arch.from_dict(row["arch"]) for row in rows], np.array([float(row["accuracy"]) for row in rows])

    @cached_property
    def _model(self) -> AccuracyModel | None:
        archs, accuracies = self._evaluated
        if len(archs) < LEAST:
            return None
        return fit_accuracy(self._pool(archs), accuracies, np.random.default_rng(self.plan.seed))

    def _pool(self, archs: Sequence[Arch]) -> Pool:
        candidates = [Candidate(arch) for arch in archs]
        return pool_of(self.plan.space, candidates, self.plan.figures(candidates))


def of_archs(limits: Limits) -> Limits:
    """Returns the limits that an Arch has to meet before anything is removed from it."""
    targets = ({name: limit for name, limit in target.items() if name != OF_PRUNED} for target in limits.targets)
    distinct = {tuple(sorted(target.items())): target for target in targets}
    return Limits(tuple(distinct.values()), limits.margin)


def check_count(value: object) -> int:
    """Returns how many Archs are evaluated; 0 for none.

    Raises:
        InvalidInput: no whole number, or too few to learn from.
    """
    if isinstance(value, bool) or not isinstance(value, int) or (value != 0 and value < LEAST):
        raise InvalidInput(f"search.tuning.zero_shot={value!r} must be a whole number of at least {LEAST}, or 0")
    return value
