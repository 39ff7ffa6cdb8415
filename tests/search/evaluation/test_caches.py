"""Lines of a cache: what was written comes back, anything else counts as absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ofa.arch import Arch
from search.evaluation.caches import JsonLines, ScoreCache, TunedCache
from tests.search.scored import evaluation, scored

GOOD = {"accuracy": {"value": 0.5, "examples": 9}}


def written(path: Path) -> list[dict[str, object]]:
    records: list[dict[str, object]] = [{"digest": "a", "value": 0.5}, {"digest": "b", "value": 0.75}]
    for record in records:
        JsonLines(path).append(record)
    return records


def test_records_come_back_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.jsonl"
    lines = JsonLines(path)
    assert list(lines.fresh()) == []
    records = written(path)
    assert list(lines.fresh()) == records
    assert list(lines.fresh()) == []


@pytest.mark.parametrize("tail", [b'{"digest":"c","accur', b"\x00\x00", b"[" * 100_000])
def test_a_torn_line_is_ignored_and_ended(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "cache.jsonl"
    records = written(path)
    path.write_bytes(path.read_bytes() + tail)
    assert list(JsonLines(path).fresh()) == records
    JsonLines(path).append({"digest": "d"})
    assert list(JsonLines(path).fresh()) == [*records, {"digest": "d"}]


@pytest.mark.parametrize(
    ("old", "new"), [(b"0.5", b"0.9"), (b'"a"', b'"z"'), (b'"check"', b'"other"'), (b"{", b'{"accuracy":1,')]
)
def test_an_edited_line_counts_as_absent_and_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: bytes, new: bytes
) -> None:
    path = tmp_path / "cache.jsonl"
    records = written(path)
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert list(JsonLines(path).fresh()) == records[1:]
    assert "damaged or were edited" in "".join(capsys.readouterr())


def test_lines_of_another_file_count_as_absent(tmp_path: Path) -> None:
    written(tmp_path / "one-supernet.jsonl")
    shutil.copy(tmp_path / "one-supernet.jsonl", tmp_path / "another.jsonl")
    assert list(JsonLines(tmp_path / "another.jsonl").fresh()) == []


def test_the_caches_do_not_believe_an_edited_score(tmp_path: Path) -> None:
    arch, found = Arch({"a": 1}), evaluation(0.5, 1.0)
    path, tuned = tmp_path / "archs.jsonl", tmp_path / "tuned.jsonl"
    ScoreCache(path).put(arch, found)
    TunedCache(tuned).put("d16e57", found)
    assert ScoreCache(path).get(arch) == scored(0.5)
    assert TunedCache(tuned).get("d16e57") is not None
    for file in (path, tuned):
        file.write_bytes(file.read_bytes().replace(b"0.5", b"0.9"))
    assert ScoreCache(path).get(arch) is None
    assert TunedCache(tuned).get("d16e57") is None


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"deep": 0},
        {"digest": "ab"},
        {"digest": "ab", "scores": GOOD, "figures": {"\ud800": 1.0}, "history": []},
        {"digest": "ab", "scores": {"accuracy": {"value": 10**400, "examples": 9}}, "figures": {}, "history": []},
        {"digest": "ab", "scores": {"accuracy": {"value": True, "examples": 9}}, "figures": {}, "history": []},
        {"digest": "ab", "scores": {}, "figures": {}, "history": []},
        {"digest": ["ab"], "scores": GOOD, "figures": {}, "history": []},
    ],
)
def test_what_cannot_be_counts_as_absent_though_its_checksum_fits(tmp_path: Path, record: dict[str, object]) -> None:
    path = tmp_path / "cache.jsonl"
    if "deep" in record:
        body = b'{"deep":' + b"[" * 100_000
        path.write_bytes(body + JsonLines(path)._ending(body))
    else:
        JsonLines(path).append(record)
    ScoreCache(path).put(Arch({"a": 1}), evaluation(0.5, 1.0))
    assert len(ScoreCache(path)) == 1
    assert TunedCache(path).get("ab") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"figures": {"bytes": -1}},
        {"figures": []},
        {"history": [{"epoch": 1}]},
        {"scores": {"accuracy": 2}},
        {"seconds": None},
    ],
)
def test_a_tuning_that_cannot_be_counts_as_absent(tmp_path: Path, wrong: dict[str, object]) -> None:
    path = tmp_path / "tuned.jsonl"
    TunedCache(path).put("ab", evaluation(0.5, 1.0, figures={"bytes": 9.0}))
    (whole,) = JsonLines(path).fresh()
    path.unlink()
    JsonLines(path).append(whole | wrong)
    assert TunedCache(path).get("ab") is None
    JsonLines(path).append(whole)
    known = TunedCache(path).get("ab")
    assert known is not None
    assert (known.scores, known.figures, known.cached) == (scored(0.5), {"bytes": 9.0}, True)
