"""The files of trials: found again by their identity, readable by name, never outside their folder."""

from __future__ import annotations

import io
from pathlib import Path

import optuna
import pytest
from optuna.artifacts.exceptions import ArtifactNotFound

from search.study.artifacts import TrialFileStore, path_of, write_trial_files


def test_each_trial_has_a_folder_with_its_files_by_name(tmp_path: Path) -> None:
    study = optuna.create_study()
    trials = [study.ask() for _ in range(2)]
    address = write_trial_files(tmp_path, trials[1], {"arch.svg": "<svg/>", "arch.json": "{}"})
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")} == {
        "trial-0001/arch.svg",
        "trial-0001/arch.json",
    }
    assert TrialFileStore(tmp_path).open_reader(address.rsplit("/")[-1]).read() == b"<svg/>"
    assert write_trial_files(tmp_path, trials[0], {"arch.json": "{}"}) == ""


@pytest.mark.parametrize("name", ["../x.svg", "/x.svg", "a/b.svg", ".svg", "x"])
def test_no_identity_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    assert path_of(tmp_path, f"1-{name.encode().hex()}") is None


def test_what_a_person_uploads_lies_beside_them(tmp_path: Path) -> None:
    store, identity = TrialFileStore(tmp_path), "3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    store.write(identity, io.BytesIO(b"mine"))
    assert store.open_reader(identity).read() == b"mine"
    store.remove(identity)
    for lacking in (identity, f"7-{b'arch.svg'.hex()}"):
        with pytest.raises(ArtifactNotFound):
            store.open_reader(lacking)
