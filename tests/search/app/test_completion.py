"""Completion in the shell, asked as the shells ask."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from search.app.completion import candidates
from search.app.main import VERBS, main


def test_verbs_come_first() -> None:
    assert candidates("ofa ", tuple(VERBS)) == [f"{verb} " for verb in VERBS]
    assert candidates("ofa pro", tuple(VERBS)) == ["profile "]
    assert candidates("ofa nothing x", tuple(VERBS)) == []


def test_groups_options_and_keys_follow() -> None:
    assert candidates("ofa train data=cif", tuple(VERBS)) == ["data=cifar10 "]
    assert candidates("ofa train train.ep", tuple(VERBS)) == ["train.epochs="]
    assert "model.repeats=" not in candidates("ofa train model.", tuple(VERBS))
    assert (
        candidates("ofa train data=digits data.dataset.c", tuple(VERBS)) == []
    )  # keys are those of the option chosen before
    assert candidates("ofa train data.dataset.c", tuple(VERBS)) == ["data.dataset.copies="]
    assert candidates("ofa train nonsense=3 seed", tuple(VERBS)) == ["seed="]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_it_is_installed_once(
    shell: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    (tmp_path / f".{shell}rc").write_text("alias mine=true")
    assert main(["completion"]) == main(["completion"]) == 0
    path = Path(capsys.readouterr().out.split(" is in ")[1].split(";")[0])
    assert "completion query" in path.read_text()
    if shell != "fish":
        settings = (tmp_path / f".{shell}rc").read_text()
        assert settings.startswith("alias mine=true\n") and settings.count("completion") == 2


def test_another_shell_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert main(["completion"]) == 2
    assert capsys.readouterr().err.startswith("ofa completion: 'tcsh' is not among the shells; ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_behind_an_equals_sign(tmp_path: Path) -> None:
    command = tmp_path / "ofa"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m search.app.main "$@"\n')
    command.chmod(0o755)
    asked = """eval "$(ofa completion bash)"; COMP_LINE="ofa train data=cif"; COMP_POINT=${#COMP_LINE}
        COMP_WORDS=(ofa train data = cif); _ofa; printf '[%s]' "${COMPREPLY[@]}" """
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": root}
    done = subprocess.run(["bash", "-c", asked], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[cifar10 ]"
