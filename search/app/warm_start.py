"""The earlier searches that a search begins with: what `search.warm_start` asks for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig

from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json
from search.app.build import plain, positive
from search.candidate import Candidate
from search.paths import RunFolder, SearchFolder
from search.plan import SearchPlan
from search.progress import say
from search.warm_start import earlier_candidates

COUNT = "warm_start_candidates"


def asked_warm_start(config: DictConfig, run: RunFolder, name: str) -> tuple[Candidate, ...]:
    """Returns the best candidates of the searches that search `name` is to begin with; none where none are named.

    A search that has begun goes on with those that it began with, whatever became of the earlier ones.

    Raises:
        InvalidInput: no list of searches, or one of them cannot be read.
    """
    names, count = warm_start_names(config), positive(f"search.{COUNT}", config.search.get(COUNT, 20))
    if not names:
        return ()
    kept = SearchFolder(run.search(name)).warm_start
    if kept.is_file() and not config.force:
        return tuple(map(Candidate.from_dict, read_json(kept)))
    if name in names:
        raise InvalidInput(
            f"search.warm_start={names} has the search itself, {name}: give it another name by study=..."
        )
    return tuple(earlier_candidates(run, names, count))


def warm_start_names(config: DictConfig) -> list[str]:
    """Returns the names or paths of the earlier searches, as they were given.

    Raises:
        InvalidInput: something else than a list of them.
    """
    asked: Any = plain(config, "search")["search"].get("warm_start")
    names = [] if asked is None else asked
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise InvalidInput(
            f"search.warm_start={asked!r} must be a list of searches, such as [pi5,outputs/a/search/pi5]"
        )
    return names


def keep_warm_start(files: SearchFolder, asked: Sequence[Candidate], plan: SearchPlan) -> None:
    """Writes what a search begins with into its folder, for when it goes on; says how much of it fits."""
    if asked:
        write_json(files.warm_start, [one.to_dict() for one in asked])
        skipped = len(asked) - len(plan.warm)
        why = f"; {skipped} skipped: not in this space, over its limits, or the same as another" if skipped else ""
        say(f"search: begins with {len(plan.warm)} of {len(asked)} candidates of earlier searches{why}")
