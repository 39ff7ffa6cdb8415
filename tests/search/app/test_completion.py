"""Completion in the shell, asked as the shells ask."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE

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


PROMPTS = {
    "bash": (".bashrc", "PS1='ready> '\n"),
    "zsh": (".zshrc", "PS1='ready> '\n"),
    "fish": (".config/fish/config.fish", "function fish_prompt; echo 'ready> '; end\n"),
}
TERMINAL = "import pty, sys; pty.spawn(sys.argv[1:])"  # what is piped in is typed there


@pytest.mark.parametrize("shell", PROMPTS)
def test_words_are_completed_at_a_terminal(shell: str, tmp_path: Path) -> None:
    """Typed are a part of a verb and of a group's option, each with a tab, and at last what prints the line's words."""
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell} is installed")
    command = tmp_path / "ofa"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m search.app.main "$@"\n')
    command.chmod(0o755)
    name, prompt = PROMPTS[shell]
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(prompt)
    environment = {
        **{"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[3])},
        **{"HOME": str(tmp_path), "SHELL": program, "TERM": "xterm", "LANG": "C.UTF-8"},
    }
    subprocess.run(["ofa", "completion"], env=environment, check=True)
    typing = [sys.executable, "-c", TERMINAL, program, "-i"]
    with subprocess.Popen(typing, stdin=PIPE, stdout=PIPE, env=environment, cwd=tmp_path, bufsize=0) as terminal:
        try:
            _answer(terminal, "ready> ")
            for typed, shown in (
                ("ofa prof\t", "profile"),
                ("device=pi\t", "pi5"),
                ("\x01printf '%s|' \r", "ofa|profile|device=pi5|"),
            ):
                assert terminal.stdin is not None
                terminal.stdin.write(typed.encode())
                _answer(terminal, shown)
        finally:
            terminal.kill()


def _answer(terminal: subprocess.Popen[bytes], text: str, seconds: float = 120.0) -> None:
    """Waits until a terminal shows a text, apart from what only moves and colors it."""
    assert terminal.stdout is not None
    said, end = b"", time.monotonic() + seconds
    while time.monotonic() < end:
        if not select.select([terminal.stdout], [], [], 1.0)[0]:
            continue
        said += terminal.stdout.read(65536)
        shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode(errors="replace"))
        if text in shown:
            return
    raise AssertionError(f"{text!r} was never shown, but {said!r}")
