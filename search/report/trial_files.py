"""The files of a trial for the dashboard: its Arch as picture and JSON, and the curve of its fine-tuning."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from ofa.records import content_of
from ofa.space import Space
from search.candidates.space import Candidate, Evaluation
from search.report.data import Choice
from search.report.pictures import arch_picture, columns, curve_picture
from search.study.trial_attributes import PICTURE


def trial_files(space: Space, candidate: Candidate, evaluation: Evaluation, title: str = "") -> dict[str, str]:
    """Returns the content of the files by name, with curves if the evaluation has a history."""
    choices = [Choice(choice.kind, choice.name, choice.values) for choice in space.choices]
    files = {
        PICTURE: arch_picture(choices, candidate.arch.values, title, candidate.values),
        "arch.json": candidate.arch.to_json(),
    }
    if evaluation.history:
        rows = [content_of(row) for row in evaluation.history]
        files |= {"curve.svg": curve_picture(rows), "curve.csv": _table(rows)}
    return files


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    """The rows as CSV with a header line."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
