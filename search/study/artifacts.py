"""The files of trials for the dashboard, in a folder that a person can read: artifacts/trial-0012/arch.svg."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from optuna.artifacts import FileSystemArtifactStore
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.trial import Trial

from ofa.paths import write_atomic
from search.candidates.optuna_internals import study_id, trial_id

PICTURE = "arch.svg"
ARTIFACT = "artifacts:"  # Optuna's prefix of the attributes that name a trial's files
# Identities are hexadecimal, since the addresses of the dashboard take nothing else: the trial, and the name's letters.
IDENTITY = re.compile(r"([0-9a-f]+)-((?:[0-9a-f]{2})+)")
NAME = re.compile(r"[A-Za-z0-9_]+\.[a-z0-9]+")


class TrialFileStore:
    """A store of Optuna's artifacts that keeps each trial's files in a folder of its own, by their names.

    Others, such as those that a person uploads in the dashboard, lie beside these folders under Optuna's names.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._others = FileSystemArtifactStore(folder)

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Returns the open file.

        Raises:
            ArtifactNotFound: there is none.
        """
        if (path := path_of(self._folder, artifact_id)) is None:
            return self._others.open_reader(artifact_id)
        try:
            return path.open("rb")
        except FileNotFoundError as error:
            raise ArtifactNotFound(artifact_id) from error

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Writes a file."""
        if (path := path_of(self._folder, artifact_id)) is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._others.write(artifact_id, content_body)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content_body.read())

    def remove(self, artifact_id: str) -> None:
        """Removes a file."""
        if (path := path_of(self._folder, artifact_id)) is None:
            self._others.remove(artifact_id)
        else:
            path.unlink(missing_ok=True)


def path_of(folder: Path, identity: str) -> Path | None:
    """Returns the path of a trial's file by its identity; None of one that is not of this toolkit."""
    match = IDENTITY.fullmatch(identity)
    name = bytes.fromhex(match[2]).decode("ascii", "replace") if match else ""
    if match is None or NAME.fullmatch(name) is None:  # no separator, so never outside the folder
        return None
    return folder / f"trial-{int(match[1], 16):04d}" / name


def write_trial_files(folder: Path, trial: Trial, files: Mapping[str, str]) -> str:
    """Returns the dashboard's address of the picture of a trial's Arch; "" if `files` has none.

    The files lie in a folder of the trial in `folder`, and the trial records their names and types.
    """
    picture = ""
    for name, text in files.items():
        identity = f"{trial.number:x}-{name.encode('ascii').hex()}"
        path = path_of(folder, identity)
        assert path is not None, name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, text.encode())
        facts = {"artifact_id": identity, "filename": name, "mimetype": mimetypes.guess_type(name)[0], "encoding": None}
        trial.storage.set_trial_system_attr(trial_id(trial), f"{ARTIFACT}{identity}", json.dumps(facts))
        if name == PICTURE:
            picture = f"/artifacts/{study_id(trial.study)}/{trial_id(trial)}/{identity}"
    return picture
