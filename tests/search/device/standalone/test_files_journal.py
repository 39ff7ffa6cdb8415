"""The journal of rounds: whole, torn, damaged, or of something else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from search.device.standalone.files import RoundJournal
from search.device.standalone.rounds import Round

ROUNDS = [
    Round([[0.1, 0.2], [0.3, 0.4]], 1.0 + number, *known)
    for number, known in enumerate([(40.5, 0.01), (None, None), (41.0, 0.0)])
]


@pytest.fixture
def journal(tmp_path: Path) -> RoundJournal:
    made = RoundJournal(tmp_path / "deep/x.rounds.jsonl", "digest")
    assert made.begin(2) == []
    for one in ROUNDS:
        made.append(one)
    return made


def test_rounds_come_back_as_they_were(journal):
    assert journal.begin(2) == ROUNDS
    assert journal.begin(2) == ROUNDS
    journal.remove()
    assert not journal.path.exists()
    journal.remove()
    assert journal.begin(2) == []


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_torn_last_line_is_dropped_and_the_next_one_is_whole(journal, cut):
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    assert journal.begin(2) == ROUNDS[:2]
    journal.append(ROUNDS[2])
    assert journal.begin(2) == ROUNDS
    assert [path.name for path in journal.path.parent.iterdir()] == ["x.rounds.jsonl"]


def test_rounds_of_something_else_are_not_gone_on_with(journal):
    other = RoundJournal(journal.path, "other")
    assert other.begin(2) == []
    assert journal.begin(2) == []


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "not JSON",
        '{"times": [[0.1, 0.2]], "seconds": 1}',
        '{"times": [[0.1, 0.2], [0.3, NaN]], "seconds": 1}',
        '{"times": [[0.1, 0.2], [0.3]], "seconds": 1}',
        '{"times": [[0.1, 0.2], [0.3, 0.4]]}',
    ],
)
def test_what_follows_a_damaged_line_is_not_believed(journal, line):
    lines = journal.path.read_text().splitlines()
    lines[2] = line
    journal.path.write_text("\n".join(lines) + "\n")
    assert journal.begin(2) == ROUNDS[:1]


def test_a_line_that_is_gone_changed_or_moved_ends_what_is_believed(journal):
    head, first, second, third = journal.path.read_text().splitlines()
    for lines, believed in [
        ([head, second, third], []),
        ([head, first, third], ROUNDS[:1]),
        ([head, first, third, second], ROUNDS[:1]),
        ([head, first, second.replace("0.3", "0.9"), third], ROUNDS[:1]),
        ([head, first, second, second], ROUNDS[:2]),
    ]:
        journal.path.write_text("\n".join(lines) + "\n")
        assert journal.begin(2) == believed


def test_a_file_that_is_no_journal_is_begun_anew(journal):
    for content in (b"", b"\xff\xfe\x00", json.dumps({"digest": "digest"}).encode()):
        journal.path.write_bytes(content)
        assert journal.begin(2) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: [*lines[:2], lines[2].replace("0.1", "0.9"), *lines[3:]],
        lambda lines: [*lines[:2], *lines[3:]],
        lambda lines: [*lines[:2], lines[1], *lines[2:]],
        lambda lines: [*lines[:2], lines[3], lines[2]],
        lambda lines: [*lines[:2], "[" * 100_000, *lines[3:]],
    ],
    ids=["edited", "deleted", "doubled", "moved", "nested"],
)
def test_rounds_are_believed_up_to_a_line_that_was_touched(journal, change):
    lines = journal.path.read_text().splitlines()
    journal.path.write_text("\n".join(change(lines)) + "\n")
    assert journal.begin(2) == ROUNDS[:1]
    journal.append(ROUNDS[1])
    assert journal.begin(2) == ROUNDS[:2]
