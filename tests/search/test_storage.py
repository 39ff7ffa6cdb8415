"""The journal survives what a kill or a power cut leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from ofa.errors import InvalidInput
from search.storage import cut_torn_line, only_runner, open_journal

optuna.logging.set_verbosity(optuna.logging.WARNING)


def one_study(path: Path, trials: int = 3) -> optuna.Study:
    study = optuna.create_study(storage=open_journal(path), study_name="s", load_if_exists=True)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=trials)
    return study


@pytest.mark.parametrize("tail", [b'{"op_code":5,"wor', b"{", b'{"op_code":5,"wor\n', b"\x00\x00\x00\n", b"\xff\xfe"])
def test_a_torn_last_line_is_cut_and_the_study_goes_on(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    assert len(one_study(path).trials) == 6
    assert path.read_bytes().startswith(whole + b'{"op_code"')
    assert len(optuna.load_study(study_name="s", storage=open_journal(path)).trials) == 6


def test_every_cut_of_the_file_opens(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    one_study(path, 1)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        open_journal(path)


def test_damage_before_the_last_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    lines = path.read_bytes().split(b"\n")
    lines[4] = b"garbage"
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(InvalidInput, match=r"journal\.log is damaged at line 5"):
        open_journal(path)


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\nwithout an end")
    with pytest.raises(InvalidInput, match="not a study's journal"):
        open_journal(path)
    assert path.read_text() == "my notes\nwithout an end"
    with pytest.raises(InvalidInput, match="cannot be opened"):
        open_journal(tmp_path)


def test_whole_files_are_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    assert cut_torn_line(path) == 0
    one_study(path)
    assert cut_torn_line(path) == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no lock that dies with its owner")
def test_locks_die_with_their_owner(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    code = (
        "import sys, time; from pathlib import Path; from search.storage import journal_lock, only_runner\n"
        "path = Path(sys.argv[1]); journal_lock(path).acquire()\n"
        "with only_runner(path, 's'): print('held', flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[2]
    owner = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"
    with pytest.raises(InvalidInput, match="by another process"), only_runner(path, "s"):
        pass
    with only_runner(path, "another study"):
        pass
    owner.kill()
    owner.wait()
    start = time.monotonic()
    with only_runner(path, "s"):
        one_study(path)
    assert time.monotonic() - start < 10  # Optuna's own lock would be waited for, 30 s
