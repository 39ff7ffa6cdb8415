"""SearchPlan: everything that determines a search, and the candidates it starts with (warm start)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InvalidInput, is_whole, nearest
from ofa.records import read_record, write_record
from ofa.space import Space
from search.candidates.figures import ACCURACY, LATENCY, CandidateFigures, Directions, Objective, directions, is_latency
from search.candidates.limits import Limits, Target, meets
from search.candidates.pareto import best_first
from search.candidates.search_files import StartCandidate, TrialRow, Trials, WarmStart
from search.candidates.space import Candidate, CandidateSpace, Evaluate, Evaluation
from search.config.search import SearchRequest
from search.run.contents import begun_searches
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import say
from search.run.stages import stamped_config
from search.samplers import SamplerFactory, guided
from search.study.fidelities import Fidelities

# Makes the files of a trial, by name, from the space, its candidate, its evaluation and a title.
TrialFiles = Callable[[Space, Candidate, Evaluation, str], Mapping[str, str]]


@dataclass(frozen=True)
class SearchPlan:
    """A search over `space` for the candidates of best accuracy within `limits`.

    `objective` is "pareto" (accuracy up, every predicted latency down), "accuracy" or a list of names; `latencies`
    are the names of the latency figures, one per device (`candidates.objectives.directions`). `identity` holds
    the digests of the study's inputs (such as the supernet's and the configuration's): a study of another identity is
    refused. `refusals` is how many proposals in a row may be over a limit or duplicates before a new candidate
    within the limits replaces the sampler's. `command` returns the shell command that extracts a trial, for its
    note. With `fidelities` a candidate is fine-tuned as well; `evaluate` is then the first step. `artifacts` is the
    folder of the trials' files, and `trial_files` makes them; without both none are written. `warm` are candidates of
    earlier searches; those within the limits are evaluated again before the sampler begins. `minutes` and `patience`
    may end it earlier, see `search.study.ending`.
    """

    name: str
    space: CandidateSpace
    figures: CandidateFigures
    evaluate: Evaluate
    evaluations: int
    limits: Limits = field(default_factory=Limits)
    objective: Objective = "pareto"
    latencies: tuple[str, ...] = (LATENCY,)
    sampler: SamplerFactory = guided
    seed: int = 0
    identity: Mapping[str, str] = field(default_factory=dict)
    refusals: int = 10
    command: Callable[[int], str] | None = None
    fidelities: Fidelities | None = None
    artifacts: Path | None = None
    trial_files: TrialFiles | None = None
    warm: tuple[Candidate, ...] = ()
    minutes: float | None = None
    patience: int | None = None

    def __post_init__(self) -> None:
        directions(self.objective, self.latencies)
        if self.fidelities is not None and self.fidelities.pruner is not None and len(self.objectives) > 1:
            raise InvalidInput(
                "Optuna's pruners need one objective: search.objective=accuracy, or leave search.tuning.pruner null"
            )
        for name in ("evaluations", "refusals"):
            value = getattr(self, name)
            if not is_whole(value, 1):
                raise InvalidInput(f"{name}={value!r} must be a whole number of at least 1")
        if self.seed < 0:
            raise InvalidInput(f"seed={self.seed!r} must be a whole number of at least 0")

    @property
    def objectives(self) -> Directions:
        """The names of the objectives and their directions."""
        return directions(self.objective, self.latencies)

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes of a study of this plan; a study with others cannot be continued by it."""
        return {
            **self.identity,
            "space": self.space.digest,
            "objective": self.objective if isinstance(self.objective, str) else list(self.objectives),
            "limits": self.limits.to_dict(),
            "seed": self.seed,
            "warm_start": digest_of_candidates(self.warm) if self.warm else None,
        }


def starting_candidates(plan: SearchPlan) -> list[Candidate]:
    """Returns the candidates that a search starts with, all within the limits.

    The smallest and the largest, for every target the largest uniform one that it allows, and those of a warm start.
    If Archs were evaluated in the supernet before, the most accurate for each target replace the uniform ones, which
    all have the default settings.
    """
    uniform = [plan.space.at_level(level) for level in np.linspace(0, 1, 13)]
    figures = plan.figures(uniform)
    chosen = [uniform[0]]
    expected = plan.fidelities.expected if plan.fidelities is not None else None
    targets = [plan.limits.allowed(target) for target in plan.limits.targets] if expected is None else []
    for allowed in [plan.limits.hard, *targets]:
        allowed_levels = np.flatnonzero(meets(figures, allowed))
        chosen += [uniform[int(allowed_levels[-1])]] if len(allowed_levels) else []
    if expected is not None:
        chosen += [plan.space.candidate(arch) for arch in expected.best(plan.limits)]
    chosen += plan.warm
    is_feasible = meets(plan.figures(chosen), plan.limits.hard)
    return [candidate for candidate, feasible in dict(zip(chosen, is_feasible, strict=True)).items() if feasible]


def warm_candidates(request: SearchRequest) -> tuple[Candidate, ...]:
    """Returns the best candidates of the named earlier searches; none if none are named.

    A search that has begun resumes with its first candidates, even if the earlier searches have changed.

    Raises:
        InvalidInput: one of them cannot be read.
    """
    run, names = request.folder, request.search.warm_start or ()
    if not names:
        return ()
    begun_with = SearchFolder(run.search(request.name)).warm_start
    if begun_with.is_file() and not request.force:
        rows = read_record(begun_with, WarmStart).rows
        return tuple(Candidate(row.arch, tuple(row.settings.items())) for row in rows)
    return tuple(earlier_candidates(run, names, request.search.warm_start_candidates))


def keep_warm_start(files: SearchFolder, candidates: Sequence[Candidate], fitting_candidates: int) -> None:
    """Writes the first candidates of a search into its folder, for a resume; prints how many of them fit."""
    if candidates:
        rows = [StartCandidate(arch=candidate.arch, settings=candidate.values) for candidate in candidates]
        write_record(files.warm_start, WarmStart(rows=tuple(rows)))
        skipped = len(candidates) - fitting_candidates
        why = f"; {skipped} skipped: not in this space, over its limits, or the same as another" if skipped else ""
        say(f"search: begins with {fitting_candidates} of {len(candidates)} candidates of earlier searches{why}")


def earlier_candidates(run: RunFolder, names: Sequence[str], count: int) -> list[Candidate]:
    """Returns the best `count` candidates of each earlier search, each once, whether or not they fit.

    Args:
        run: the run whose searches can be given by name.
        names: names of searches, or paths to their folders or to their trials.json.

    Raises:
        InvalidInput: no such search, or one without trials that can be read.
    """
    candidates: dict[Candidate, None] = {}
    for name in names:
        candidates |= dict.fromkeys(best_candidates(_trials_path(run, name), count))
    return list(candidates)


def best_candidates(trials: Path, count: int) -> list[Candidate]:
    """Returns the best `count` evaluated candidates of a trials.json, best first.

    They are ranked by the objectives of their own search, read from its stamp beside the file (accuracy and every
    latency if there is none): by non-domination, then the least crowded.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        objective: Objective = stamped_config(trials.parent).get("search", {}).get("objective", "pareto")
        rows = [row for row in read_record(trials, Trials).rows if row.state == "evaluated"]
        ways = directions(objective, sorted({name for row in rows for name in row.figures if is_latency(name)}))
        points = [[_lower_is_better(row, name) for name in ways] for row in rows]
        candidates = [row.candidate for row in rows if row.candidate is not None]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{trials} is damaged ({type(error).__name__}: {error}): these are not trials of a search"
        ) from None
    order = best_first(np.array(points, dtype=np.float64).reshape(len(rows), len(ways)))
    return list(dict.fromkeys(candidates[index] for index in order))[:count]


def fitting(
    candidates: Sequence[Candidate], space: CandidateSpace, figures: CandidateFigures, allowed: Target
) -> list[Candidate]:
    """Returns the candidates in a space that meet the allowed figures, each once, as candidates of that space.

    Settings that the space does not search are left out; those missing from an earlier search take the default.
    """
    names = {parameter.name for parameter in space.parameters}
    fitted: dict[Candidate, None] = {}
    for candidate in candidates:
        try:
            fitted[
                space.candidate(
                    candidate.arch, {name: candidate.values[name] for name in candidate.values if name in names}
                )
            ] = None
        except InvalidInput:
            continue
    if not fitted:
        return []
    distinct = list(fitted)
    return [distinct[index] for index in np.flatnonzero(meets(figures(distinct), allowed))]


def digest_of_candidates(candidates: Sequence[Candidate]) -> str:
    """Returns 16 hex digits of candidates in their order."""
    return hashlib.sha256(json.dumps([candidate.key for candidate in candidates]).encode()).hexdigest()[:16]


def _lower_is_better(row: TrialRow, name: str) -> float:
    assert row.accuracy is not None  # it was evaluated
    return -row.accuracy if name == ACCURACY else row.figures[name]


def _trials_path(run: RunFolder, name: str) -> Path:
    """The path of the trials of a search, given by its name or a path."""
    searches = begun_searches(run)
    path = run.search(name) if name in searches else Path(name)
    if path.is_dir():
        path = SearchFolder(path).trials
        if not path.is_file():
            raise InvalidInput(f"search.warm_start={name}: {path} does not exist; wait for that search to end")
    if not path.is_file():
        raise InvalidInput(
            f"search.warm_start={name!r} is neither a search of {run.root} nor a path to one; {nearest(name, searches)}"
        )
    return path
