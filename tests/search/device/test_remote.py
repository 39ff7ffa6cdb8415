"""What comes back from another machine: believed when it is whole, and each way in which it is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from ofa.errors import InvalidInput
from search.device.remote import MOST_BYTES, machine_in, measurement_in, read_result, runtime_in
from search.device.standalone.script import RESULT_KIND

NETWORKS = 6  # two subnets, three parts, the sentinel
OPTIONS = {"threads": 1, "precision": "float32"}
MANIFEST = {
    "archs": [{}, {}],
    "networks": [{}] * NETWORKS,
    "loader": "onnxruntime",
    "options": OPTIONS,
    "protocol": {"clock": "wall", "visits": 8, "repeats": 2, "seconds": 1.0, "seed": 0},
}


def result(rounds: int = 8, networks: int = NETWORKS, **fields) -> dict:
    """A measurement where network n takes n + 1 ms by the wall clock and a tenth of it by the process's."""
    row = [[1e-3 * (number + 1), 1e-4 * (number + 1)] for number in range(networks)]
    return {
        "kind": RESULT_KIND,
        "schema": 1,
        "bundle": "0123456789abcdef",
        "machine": {"name": "x", "cpu_model": "Cortex-A76", "isa": ["aarch64"], "cores": 4, "secret": "no"},
        "runtime": {"name": "onnxruntime", "version": "1.20", **OPTIONS},
        "refused": [],
        "seconds": 3.5,
        "celsius": [41.0, None, 55.5],
        "rounds": [[list(pair) for pair in row] for _ in range(rounds)],
        **fields,
    }


def test_a_measurement_is_as_if_it_had_been_made_here():
    measured = measurement_in(result(), MANIFEST, "profile.json")
    np.testing.assert_allclose(measured.ms, [1, 2])
    np.testing.assert_allclose([piece.ms for piece in measured.pieces if piece], [3, 4, 5])
    assert measured.sentinel.ms == pytest.approx(6)
    assert measured.timings[0].cpu_ms == pytest.approx(0.1)
    assert (measured.clock, measured.seconds, measured.verdict) == ("wall", 3.5, "ok")


def test_where_others_had_the_processor_it_is_noisy():
    quiet, busy = (
        measurement_in(result(interrupted=shares), MANIFEST, "profile.json") for shares in ([0.01] * 8, [0.1] * 8)
    )
    assert (quiet.verdict, quiet.interrupted) == ("ok", pytest.approx(0.01))
    assert (busy.verdict, busy.interrupted) == ("noisy", pytest.approx(0.1))
    for damaged in ([0.1], 0.1, [2.0] * 8, ["x"] * 8):
        with pytest.raises(InvalidInput, match="interrupted must be a fraction for each round"):
            measurement_in(result(interrupted=damaged), MANIFEST, "profile.json")


def test_parts_that_were_refused_there_are_none():
    measured = measurement_in(result(networks=NETWORKS - 1, refused=[3]), MANIFEST, "profile.json")
    assert measured.pieces[1] is None
    assert [piece.ms for piece in measured.pieces if piece] == pytest.approx([3, 4])
    assert measured.sentinel.ms == pytest.approx(5)


def test_the_clock_of_the_bundle_decides():
    manifest = {**MANIFEST, "protocol": {**MANIFEST["protocol"], "clock": "cpu"}}
    assert measurement_in(result(), manifest, "profile.json").ms.tolist() == pytest.approx([0.1, 0.2])


def changed(value, round_number: int = 2, network: int = 1) -> dict:
    content = result()
    content["rounds"][round_number][network] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed([-1.0, 0.1]), r"profile.json: rounds\[2\]\[1\] = \[-1.0, 0.1\] must be two times"),
        (changed([0.0, 0.1]), "must be two times in seconds above 0"),
        (changed([0.1, -0.1]), "must be two times"),
        (changed([float("nan"), 0.1]), "must be two times"),
        (changed([float("inf"), 0.1]), "must be two times"),
        (changed([10**400, 0.1]), "must be two times"),
        (changed([0.1]), "must be two times"),
        (changed(None), "must be two times"),
        (changed(["0.1", "0.1"]), "must be two times"),
        (changed([True, 0.1]), "must be two times"),
        (result(networks=5), r"rounds\[0\] has 5 networks, and its bundle has 6"),
        (result(rounds=3), "holds 3 rounds, and it takes 6: run python3 measure.py again in the same folder"),
        (result(rounds=0), "holds 0 rounds"),
        (result(rounds=17), "holds 17 rounds, and measure.py makes 16 at most"),
        ({**result(), "rounds": "many"}, "rounds must be a list of lists"),
        ({**result(), "rounds": [1] * 8}, "rounds must be a list of lists"),
        ({**result(), "seconds": -1}, "seconds = -1 must be a number above 0"),
        ({**result(), "seconds": None}, "seconds = None"),
        ({**result(), "refused": [0]}, r"refused = \[0\] must list numbers of blocks and probes"),
        ({**result(), "refused": [5]}, "refused"),
        ({**result(), "refused": "none"}, "refused"),
    ],
)
def test_damaged_measurements_are_refused_in_a_line(content, message):
    with pytest.raises(InvalidInput, match=message) as error:
        measurement_in(content, MANIFEST, "profile.json")
    assert "\n" not in str(error.value)


def test_six_rounds_are_enough_and_a_coarse_process_clock_is_none():
    content = result(rounds=6)
    content["rounds"][0][0][1] = 0.0
    measured = measurement_in(content, MANIFEST, "profile.json")
    assert measured.timings[0].visits == 6
    assert measured.timings[0].cpu_ms is None


def test_the_machine_is_described_by_what_is_known_of_machines():
    found = machine_in(result(), "pi5", "profile.json")
    assert found == {
        "name": "pi5",
        "cpu_model": "Cortex-A76",
        "isa": ["aarch64"],
        "cores": 4,
        "temperature_start_c": 41.0,
        "temperature_end_c": 55.5,
    }
    assert "temperature_start_c" not in machine_in(result(celsius=[None, None]), "pi5", "profile.json")
    for machine in (None, {"cpu_model": "x" * 201}, {"isa": [{}]}, {"isa": ["a"] * 65}, {"cores": {}}):
        with pytest.raises(InvalidInput, match="machine"):
            machine_in(result(machine=machine), "pi5", "profile.json")
    with pytest.raises(InvalidInput, match="celsius must be a list of numbers"):
        machine_in(result(celsius=["warm"]), "pi5", "profile.json")


def test_the_runtime_is_the_one_that_the_bundle_names():
    found = runtime_in(result(), MANIFEST, "profile.json")
    assert found == {"name": "onnxruntime", "version": "1.20", **OPTIONS}
    wrong = [None, {}, {**found, "threads": 2}, {**found, "name": "ncnn"}, {**found, "version": 1}]
    for runtime in [*wrong, {**found, "version": "1" * 201}]:
        with pytest.raises(InvalidInput, match="runtime"):
            runtime_in(result(runtime=runtime), MANIFEST, "profile.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged or no JSON"),
        (json.dumps(result()).encode()[:-100], "is damaged or no JSON"),
        (b"PK\x03\x04\xff\xff", "is damaged or no JSON"),
        (b"[" * 100_000, "nested too deep|is damaged"),
        (json.dumps(changed([float("nan"), 1.0])).encode(), "NaN is no number"),
        (json.dumps(changed([float("inf"), 1.0])).encode(), "Infinity is no number"),
        (b"[]", "is no measurement: take the profile.json that measure.py wrote"),
        (b'{"schema": 2, "anchors": []}', "is no measurement"),
        (json.dumps(result(schema=2)).encode(), "has schema 2, and this version reads 1"),
        (json.dumps(result(bundle="../../etc/passwd")).encode(), "does not say which bundle"),
        (json.dumps(result(bundle=None)).encode(), "does not say which bundle"),
    ],
)
def test_files_that_are_no_measurement_are_refused_in_a_line(tmp_path: Path, content, message):
    path = tmp_path / "profile.json"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=message) as error:
        read_result(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_what_is_missing_or_too_large_is_not_read(tmp_path: Path):
    with pytest.raises(InvalidInput, match=r"profile\.json that measure\.py wrote"):
        read_result(tmp_path / "profile.json")
    with pytest.raises(InvalidInput, match="is no file"):
        read_result(tmp_path)
    with open(tmp_path / "large.json", "wb") as file:
        os.truncate(file.fileno(), MOST_BYTES + 1)
    with pytest.raises(InvalidInput, match="has 64 MB, and a measurement has 64 at most"):
        read_result(tmp_path / "large.json")
