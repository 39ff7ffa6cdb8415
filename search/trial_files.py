"""The files of a trial in the dashboard: its Arch, a picture of it, and the curve of its fine-tuning."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.trial import Trial

from ofa.space import Space
from search.candidate import Candidate
from search.evaluation import Evaluation
from search.report.arch_picture import arch_picture
from search.report.curve_picture import columns, curve_picture
from search.report.data import Choice

PICTURE = "arch.svg"


def write_trial_files(folder: Path, trial: Trial, space: Space, candidate: Candidate, evaluation: Evaluation) -> str:
    """Returns where the dashboard serves the picture of a trial's Arch, which is not told yet.

    The files lie in `folder` under names of Optuna's, and the trial carries what they are called and their types.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store, picture = FileSystemArtifactStore(folder), ""
    title = f"trial {trial.number}: accuracy {100 * evaluation.accuracy:.2f} %"
    with TemporaryDirectory() as scratch:  # uploading takes a file of that name
        for name, text in trial_files(space, candidate, evaluation, title).items():
            path = Path(scratch) / name
            path.write_text(text, encoding="utf-8")
            identity = upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)
            if name == PICTURE:
                picture = f"/artifacts/{trial.study._study_id}/{trial._trial_id}/{identity}"
    return picture


def trial_files(space: Space, candidate: Candidate, evaluation: Evaluation, title: str = "") -> dict[str, str]:
    """Returns the content of the files by name; curves where the evaluation has a history."""
    choices = [Choice(choice.kind, choice.name, choice.values) for choice in space.choices]
    files = {
        PICTURE: arch_picture(choices, candidate.arch.values, title, candidate.values),
        "arch.json": candidate.arch.to_json(),
    }
    if evaluation.history:
        files |= {"curve.svg": curve_picture(evaluation.history), "curve.csv": _table(evaluation.history)}
    return files


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as CSV with a line of names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(rows), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
