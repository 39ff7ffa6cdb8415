"""The files of what a search begins with: candidates of earlier searches, and Archs evaluated in the supernet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from ofa.arch import Arch
from ofa.records import Part, Record
from ofa.task import Score
from search.run.cards import Setting


class StartCandidate(Part, frozen=True, kw_only=True):
    """A candidate that a search starts from."""

    arch: Arch
    settings: Mapping[str, Setting] = {}


class WarmStart(Record, frozen=True, kw_only=True):
    """warm_start.json."""

    KIND: ClassVar[str] = "warm start"
    REMEDY: ClassVar[str] = "restore it, or search again with force=true"

    rows: tuple[StartCandidate, ...]


class EvaluatedArch(Part, frozen=True, kw_only=True):
    """An Arch with the score of the objective in the supernet."""

    arch: Arch
    score: Score


class EvaluatedArchs(Record, frozen=True, kw_only=True):
    """The Archs that were evaluated in the supernet before the first fine-tuning."""

    KIND: ClassVar[str] = "evaluated archs"
    REMEDY: ClassVar[str] = "delete it: the same ofa search evaluates them again"

    rows: tuple[EvaluatedArch, ...]
