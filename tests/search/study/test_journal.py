"""The journal survives what a kill or a power cut leaves behind."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from ofa.errors import InvalidInput
from search.study.journal import cut_torn_line, only_driver, open_journal
from search.study.journal_chain import START, head_path, sealed_line

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
    for size in range(0, len(whole), 7):  # as a kill leaves it: what comes after the last lasting line may be missing
        path.write_bytes(whole[:size])
        head_path(path).unlink(missing_ok=True)
        open_journal(path)


def test_finished_work_that_was_cut_off_is_missed(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for left in (0, 1, len(lines) // 2, len(lines) - 1):
        path.write_bytes(b"".join(lines[:left]))
        with pytest.raises(InvalidInput, match=r"was cut or edited .* missing.*delete journal\.head"):
            open_journal(path)
        assert path.read_bytes() == b"".join(lines[:left])
    head_path(path).unlink()
    assert [trial.state.name for trial in one_study(path, 0).trials] == ["COMPLETE", "COMPLETE", "RUNNING"]


def test_a_journal_that_was_deleted_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    path.unlink()
    assert len(one_study(path, 2).trials) == 2


@pytest.mark.parametrize("head", [b"", b"\0" * 38, None])
def test_a_head_that_a_power_cut_took_is_done_without(tmp_path: Path, head: bytes | None) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    head_path(path).unlink() if head is None else head_path(path).write_bytes(head)
    assert len(one_study(path, 1).trials) == 4


def _edited(lines: list[bytes], how: str) -> list[bytes]:
    middle = len(lines) // 2
    match how:
        case "deleted":
            return lines[:middle] + lines[middle + 1 :]
        case "doubled":
            return lines[: middle + 1] + lines[middle:]
        case "moved":
            return [*lines[:middle], lines[middle + 1], lines[middle], *lines[middle + 2 :]]
        case "first deleted":
            return lines[1:]
        case "without checksum":
            return [*lines[:middle], re.sub(rb',"chain":"\w+"', b"", lines[middle]), *lines[middle + 1 :]]
        case _:
            number = next(n for n, line in enumerate(lines) if b'"values":[' in line)
            return [
                *lines[:number],
                re.sub(rb'"values":\[.*?\]', b'"values":[9.0]', lines[number]),
                *lines[number + 1 :],
            ]


@pytest.mark.parametrize("how", ["deleted", "doubled", "moved", "first deleted", "without checksum", "edited"])
def test_lines_that_were_touched_are_refused(tmp_path: Path, how: str) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    head_path(path).unlink()
    path.write_bytes(b"".join(_edited(path.read_bytes().splitlines(keepends=True), how)))
    with pytest.raises(InvalidInput, match=r"journal\.log is damaged at line \d+: its? .*restore it, or delete it"):
        open_journal(path)


def test_a_line_of_another_journal_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        one_study(tmp_path / name / "journal.log")
    path, other = (tmp_path / name / "journal.log" for name in ("a", "b"))
    lines, others = path.read_bytes().splitlines(keepends=True), other.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1] + others[-1:]))
    with pytest.raises(InvalidInput, match=f"at line {len(lines)}: its checksum does not fit"):
        open_journal(path)


@pytest.mark.parametrize(
    ("code", "change"),
    [
        (6, {"values": ["much"]}),
        (6, {"values": [float("nan")]}),
        (6, {"state": 9}),
        (5, {"param_value_internal": 7.0}),
        (5, {"distribution": "{}"}),
        (4, {"datetime_start": "yesterday"}),
        (4, {"study_id": -1}),
        (0, {"directions": 1}),
    ],
)
def test_impossible_records_are_refused_whatever_their_checksums(
    tmp_path: Path, code: int, change: dict[str, object]
) -> None:
    path = tmp_path / "journal.log"
    one_study(path)
    seal, lines = START, []
    for line in path.read_bytes().splitlines():
        record = json.loads(line)
        del record["chain"]
        sealed, seal = sealed_line(record | (change if record["op_code"] == code else {}), seal)
        lines.append(sealed)
    path.write_bytes(b"".join(lines))
    head_path(path).unlink()
    with pytest.raises(InvalidInput, match=r"at line \d+: .*(impossible|distribution)"):
        open_journal(path)


def test_optuna_itself_reads_our_journals(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    ours = one_study(path)
    plain = JournalStorage(JournalFileBackend(str(path)))
    assert [trial.params for trial in optuna.load_study(study_name="s", storage=plain).trials] == [
        trial.params for trial in ours.trials
    ]


def test_two_writers_seal_one_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "journal.log"
    one_study(path, 1)
    first, second = open_journal(path), open_journal(path)
    for storage in (first, second, first):
        optuna.load_study(study_name="s", storage=storage).optimize(lambda trial: trial.suggest_float("x", 0, 1), 2)
    assert len(optuna.load_study(study_name="s", storage=open_journal(path)).trials) == 7


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal.log")
    with pytest.raises(InvalidInput, match="is not a file"):
        open_journal(tmp_path / "journal.log")


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
    with pytest.raises(InvalidInput, match="is not a file"):
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
        "import sys, time; from pathlib import Path; from search.study.journal import journal_lock, only_driver\n"
        "path = Path(sys.argv[1]); journal_lock(path).acquire()\n"
        "with only_driver(path, 's'): print('held', flush=True); time.sleep(60)"
    )
    root = Path(__file__).parents[3]
    owner = subprocess.Popen([sys.executable, "-c", code, str(path)], cwd=root, stdout=subprocess.PIPE)
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"held\n"
    with pytest.raises(InvalidInput, match="by another process"), only_driver(path, "s"):
        pass
    with only_driver(path, "another study"):
        pass
    owner.kill()
    owner.wait()
    start = time.monotonic()
    with only_driver(path, "s"):
        one_study(path)
    assert time.monotonic() - start < 25  # Optuna's own lock would be waited for, 30 s
