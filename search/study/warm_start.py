"""Warm start: the best candidates of earlier searches, which a search begins with; their file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput, nearest
from ofa.records import Part, Record, read_record, write_record
from search.candidates.figures import (
    Objective,
    is_latency,
    objective_names,
)
from search.candidates.pareto import best_first
from search.candidates.search_files import Trials
from search.candidates.space import Candidate
from search.config.search import SearchRequest
from search.run.cards import Setting
from search.run.contents import begun_searches
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import say
from search.run.stages import stamped_config


class StartCandidate(Part, frozen=True, kw_only=True):
    """A candidate that a search starts from."""

    arch: Arch
    settings: Mapping[str, Setting] = {}


class WarmStart(Record, frozen=True, kw_only=True):
    """warm_start.json."""

    KIND: ClassVar[str] = "warm start"
    REMEDY: ClassVar[str] = "restore it, or search again with force=true"

    rows: tuple[StartCandidate, ...]


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

    They are ranked by the objectives of their own search, read from its stamp beside the file (the metric and every
    latency if there is none): by non-domination, then the least crowded.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        objective: Objective = stamped_config(trials.parent).get("search", {}).get("objective", "pareto")
        content = read_record(trials, Trials)
        metric, rows = content.metrics[0], [row for row in content.rows if row.state == "evaluated"]
        ways = objective_names(objective, sorted({name for row in rows for name in row.figures if is_latency(name)}))
        points = [row.costs(ways, metric) for row in rows]
        candidates = [row.candidate for row in rows if row.candidate is not None]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(
            f"{trials} is damaged ({type(error).__name__}: {error}): these are not trials of a search"
        ) from None
    order = best_first(np.array(points, dtype=np.float64).reshape(len(rows), len(ways)))
    return list(dict.fromkeys(candidates[index] for index in order))[:count]


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
