"""From the searches of a run that fine-tune their candidates to groups that can be laid side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.paths import read_json
from search.analysis.side_by_side import Tuned, TunedSearch
from search.paths import RunFolder, SearchFolder
from search.stages import stamped_config
from search.subnet_rows import times_of


def gather_tuned(run: RunFolder, names: Sequence[str]) -> tuple[tuple[TunedSearch, ...], ...]:
    """Returns groups of at least two searches: for the same device, with the same epochs a candidate, each with a
    candidate that was fine-tuned to the end.

    Args:
        names: of searches that are done.
    """
    groups: dict[tuple[str, str, str], list[TunedSearch]] = {}
    for name in names:
        files = SearchFolder(run.search(name))
        search = stamped_config(files.root).get("search", {})
        tuning = search.get("tuning") if isinstance(search, Mapping) else None
        if not tuning:
            continue
        found = read_json(files.finalists)
        latency, *_ = times_of(found["largest"])
        tuned = tuple(one for row in read_json(files.trials) if (one := _tuned(row, latency)) is not None)
        if any(one.accuracy is not None for one in tuned):
            group = (found["device"], latency, str(tuning.get("epochs")))
            groups.setdefault(group, []).append(TunedSearch(name, tuned))
    return tuple(tuple(group) for group in groups.values() if len(group) > 1)


def _tuned(row: Mapping[str, Any], latency: str) -> Tuned | None:
    """A trial that was fine-tuned, be it for an epoch; None for others."""
    figures, history = row["figures"], row.get("history", [])
    if row["state"] not in ("evaluated", "given up") or not history or not {latency, "bytes"} <= figures.keys():
        return None
    accuracy = row["accuracy"] if row["state"] == "evaluated" else None
    return Tuned(accuracy, figures[latency], figures["bytes"], len(history))
