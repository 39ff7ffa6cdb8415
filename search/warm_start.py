"""Warm start: the best candidates of earlier searches, which a new one evaluates before its sampler begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa.errors import InvalidInput, nearest
from ofa.paths import read_json
from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.figures import CandidateFigures, is_latency
from search.limits import Target, meets
from search.objectives import ACCURACY, Objective, directions
from search.pareto import best_first
from search.paths import RunFolder, SearchFolder
from search.run_contents import begun_searches
from search.stages import stamped_config


def earlier_candidates(run: RunFolder, names: Sequence[str], count: int) -> list[Candidate]:
    """Returns the best `count` candidates of each earlier search, each once, whether they fit another search or not.

    Args:
        run: whose searches can be given by name.
        names: of searches, or paths to their folders or to their trials.json.

    Raises:
        InvalidInput: no such search, or one without trials that can be read.
    """
    found: dict[Candidate, None] = {}
    for name in names:
        found |= dict.fromkeys(best_candidates(_trials_path(run, name), count))
    return list(found)


def best_candidates(trials: Path, count: int) -> list[Candidate]:
    """Returns the best `count` evaluated candidates of a trials.json, best first.

    They are ranked by the objectives of their own search, which its stamp beside the file tells (accuracy and every
    latency where there is none): by non-domination, then the least crowded.

    Raises:
        InvalidInput: the file is damaged.
    """
    objective: Objective = stamped_config(trials.parent).get("search", {}).get("objective", "pareto")
    try:
        rows = [row for row in read_json(trials) if row["state"] == "evaluated"]
        ways = directions(objective, sorted({name for row in rows for name in row["figures"] if is_latency(name)}))
        points = [[_lower_is_better(row, name) for name in ways] for row in rows]
        candidates = [Candidate.from_dict(row) for row in rows]
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{trials} is damaged ({type(error).__name__}: {error}): no trials of a search") from None
    order = best_first(np.array(points, dtype=np.float64).reshape(len(rows), len(ways)))
    return list(dict.fromkeys(candidates[place] for place in order))[:count]


def fitting(
    candidates: Sequence[Candidate], space: CandidateSpace, figures: CandidateFigures, allowed: Target
) -> list[Candidate]:
    """Returns those that are in a space and within what is allowed, each once, as candidates of that space.

    Settings that the space does not search are left out, and those that an earlier search did not have are the default.
    """
    known = {parameter.name for parameter in space.parameters}
    found: dict[Candidate, None] = {}
    for one in candidates:
        try:
            found[space.candidate(one.arch, {name: one.values[name] for name in one.values if name in known})] = None
        except InvalidInput:
            continue
    if not found:
        return []
    distinct = list(found)
    return [distinct[place] for place in np.flatnonzero(meets(figures(distinct), allowed))]


def digest_of_candidates(candidates: Sequence[Candidate]) -> str:
    """Returns 16 hex digits of candidates in their order."""
    return hashlib.sha256(json.dumps([one.key for one in candidates]).encode()).hexdigest()[:16]


def _lower_is_better(row: Mapping[str, Any], name: str) -> float:
    return -float(row[ACCURACY]) if name == ACCURACY else float(row["figures"][name])


def _trials_path(run: RunFolder, name: str) -> Path:
    """Where the trials of a search lie that was given by its name or a path."""
    searches = begun_searches(run)
    path = run.search(name) if name in searches else Path(name)
    if path.is_dir():
        path = SearchFolder(path).trials
        if not path.is_file():
            raise InvalidInput(f"search.warm_start={name}: {path} does not exist; let that search end first")
    if not path.is_file():
        raise InvalidInput(
            f"search.warm_start={name!r} is no search of {run.root} and no path to one; {nearest(name, searches)}"
        )
    return path
