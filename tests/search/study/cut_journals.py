"""Searches cut off at a line of their journal, as by a kill there, and continued by a process that knows nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from search.candidates.trials import trial_rows
from search.study.journal_chain import head_path
from search.study.plan import SearchPlan
from search.study.study import load_study, run_study

MakePlan = Callable[[], SearchPlan]


def outcomes(journal: Path, name: str) -> list[tuple[Any, ...]]:
    """Returns what came of every trial, in order."""
    rows = trial_rows(load_study(journal, name))
    return [(row.candidate, row.state, row.score, dict(row.figures), row.history) for row in rows]


def uncut(make_plan: MakePlan, folder: Path) -> tuple[list[tuple[Any, ...]], list[bytes]]:
    """Returns the outcomes of a search without a death, and the lines of its journal."""
    journal, plan = folder / "whole.log", make_plan()
    run_study(plan, journal)
    return outcomes(journal, plan.name), journal.read_bytes().splitlines(keepends=True)


def continued(make_plan: MakePlan, lines: Sequence[bytes], cuts: Sequence[int], folder: Path) -> list[tuple[Any, ...]]:
    """Returns the outcomes of a search that died when its journal had so many lines, once for each of `cuts`.

    `lines` are those of a search without a death.
    """
    journal = folder / "cut.log"
    _write(journal, lines[: cuts[0]])
    for cut in cuts[1:]:
        run_study(make_plan(), journal)
        _write(journal, journal.read_bytes().splitlines(keepends=True)[:cut])
    plan = make_plan()
    run_study(plan, journal)
    found = outcomes(journal, plan.name)
    journal.unlink()
    return found


def _write(journal: Path, lines: Sequence[bytes]) -> None:
    """Writes what a kill leaves: the journal's head has not reached what is not there yet."""
    journal.write_bytes(b"".join(lines))
    head_path(journal).unlink(missing_ok=True)


def cuts_of_every_kind(lines: Sequence[bytes], rng: np.random.Generator) -> list[int]:
    """Returns a place behind a line of each kind: what is written, whatever the trial and the value."""
    kinds: dict[tuple[Any, ...], list[int]] = {}
    for place, line in enumerate(lines, start=1):
        record = json.loads(line)
        attributes = (key for name in ("user_attr", "system_attr") for key in record.get(name, {}))
        kind = (record["op_code"], *(re.sub(r"[0-9a-f]{8,}|\d+", "", key) for key in attributes), record.get("state"))
        kinds.setdefault(kind, []).append(place)
    return [int(rng.choice(places)) for places in kinds.values()]
