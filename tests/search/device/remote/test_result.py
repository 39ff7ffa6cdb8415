"""What comes back from another machine: believed when it is whole, and each way in which it is not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import LARGEST_FILE, convert
from search.device.profile_record import DeviceFacts
from search.device.remote.manifest import BundledNetwork, BundleManifest, BundleProtocol
from search.device.remote.result import DeviceMeasurement, machine_in, measurement_in, read_result, runtime_in
from search.device.standalone.files import record_text
from search.device.standalone.script import RESULT_KIND, RESULT_VERSION

NETWORKS = 6  # two subnets, three parts, the sentinel
OPTIONS = {"threads": 1, "precision": "float32"}
MANIFEST = BundleManifest(
    digest="0" * 16,
    purpose="profile",
    device="pi5",
    loader="onnxruntime",
    options=OPTIONS,
    space="0" * 16,
    input_shape=(1, 1, 8, 8),
    archs=(Arch(), Arch()),
    macs=(1, 2),
    pieces=(),
    widths=(),
    sentinel="convolutions",
    networks=(BundledNetwork(shape=(1, 1, 8, 8), files={}),) * NETWORKS,
    protocol=BundleProtocol(clock="wall", visits=8, repeats=2, seconds=1.0, seed=0),
    settings={},
    versions={},
)


def result(rounds: int = 8, networks: int = NETWORKS, **fields) -> dict:
    """A measurement where network n takes n + 1 ms by the wall clock and a tenth of it by the process's."""
    row = [[1e-3 * (number + 1), 1e-4 * (number + 1)] for number in range(networks)]
    return {
        "bundle": "0123456789abcdef",
        "machine": {"name": "x", "cpu_model": "Cortex-A76", "isa": ["aarch64"], "cores": 4, "secret": "no"},
        "runtime": {"name": "onnxruntime", "version": "1.20", **OPTIONS},
        "refused": [],
        "seconds": 3.5,
        "celsius": [41.0, None, 55.5],
        "rounds": [[list(pair) for pair in row] for _ in range(rounds)],
        **fields,
    }


def text_of(content: dict) -> bytes:
    """The file that the script writes of a measurement."""
    return record_text(RESULT_KIND, RESULT_VERSION, content).encode()


def read(content: dict) -> DeviceMeasurement:
    return convert(content, DeviceMeasurement, "profile.json")


def test_a_measurement_is_as_if_it_had_been_made_here():
    measured = measurement_in(read(result()), MANIFEST, "profile.json")
    np.testing.assert_allclose(measured.ms, [1, 2])
    np.testing.assert_allclose([piece.ms for piece in measured.pieces if piece], [3, 4, 5])
    assert measured.sentinel.ms == pytest.approx(6)
    assert measured.timings[0].cpu_ms == pytest.approx(0.1)
    assert (measured.clock, measured.seconds, measured.verdict) == ("wall", 3.5, "ok")


def test_where_others_had_the_processor_it_is_noisy():
    quiet, busy = (
        measurement_in(read(result(interrupted=shares)), MANIFEST, "profile.json") for shares in ([0.01] * 8, [0.1] * 8)
    )
    assert (quiet.verdict, quiet.interrupted) == ("ok", pytest.approx(0.01))
    assert (busy.verdict, busy.interrupted) == ("noisy", pytest.approx(0.1))
    for damaged in ([0.1], 0.1, [2.0] * 8, ["x"] * 8):
        with pytest.raises(InvalidInput, match="interrupted"):
            measurement_in(read(result(interrupted=damaged)), MANIFEST, "profile.json")


def test_parts_that_were_refused_there_are_none():
    measured = measurement_in(read(result(networks=NETWORKS - 1, refused=[3])), MANIFEST, "profile.json")
    assert measured.pieces[1] is None
    assert [piece.ms for piece in measured.pieces if piece] == pytest.approx([3, 4])
    assert measured.sentinel.ms == pytest.approx(5)


def test_the_clock_of_the_bundle_decides():
    manifest = structs.replace(MANIFEST, protocol=structs.replace(MANIFEST.protocol, clock="cpu"))
    assert measurement_in(read(result()), manifest, "profile.json").ms.tolist() == pytest.approx([0.1, 0.2])


def changed(value, round_number: int = 2, network: int = 1) -> dict:
    content = result()
    content["rounds"][round_number][network] = value
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed([-1.0, 0.1]), r"expected `float` >= 0.0 at `rounds\[2\]\[1\]\[0\]`"),
        (changed([0.0, 0.1]), r"profile.json: rounds\[2\]\[1\] = \[0.0, 0.1\] must be two times in seconds above 0"),
        (changed([0.1, -0.1]), r"rounds\[2\]\[1\]\[1\]"),
        (changed([10**400, 0.1]), r"profile.json: "),
        (changed([1e308, 0.1]), r"rounds\[2\]\[1\]"),
        (changed([0.1]), r"rounds\[2\]\[1\]"),
        (changed(None), r"rounds\[2\]\[1\]"),
        (changed(["0.1", "0.1"]), r"rounds\[2\]\[1\]"),
        (changed([True, 0.1]), r"rounds\[2\]\[1\]"),
        (result(networks=5), r"rounds\[0\] has 5 networks, and its bundle has 6"),
        (result(rounds=3), "holds 3 rounds, and it takes 6: run python3 measure.py again in the same folder"),
        (result(rounds=0), "holds 0 rounds"),
        (result(rounds=17), "holds 17 rounds, and measure.py makes 16 at most"),
        ({**result(), "rounds": "many"}, "rounds"),
        ({**result(), "rounds": [1] * 8}, r"rounds\[0\]"),
        ({**result(), "seconds": -1}, "expected `float` > 0.0 at `seconds`"),
        ({**result(), "seconds": None}, "seconds"),
        ({**result(), "refused": [0]}, r"refused = \[0\] must list the blocks and probes without times"),
        ({**result(), "refused": [5]}, "refused"),
        ({**result(), "refused": "none"}, "refused"),
        ({**result(), "machine": [1]}, "machine"),
    ],
)
def test_damaged_measurements_are_refused_in_a_line(content, message):
    with pytest.raises(InvalidInput, match=message) as error:
        measurement_in(read(content), MANIFEST, "profile.json")
    assert "\n" not in str(error.value)


def test_six_rounds_are_enough_and_a_coarse_process_clock_is_none():
    content = result(rounds=6)
    content["rounds"][0][0][1] = 0.0
    measured = measurement_in(read(content), MANIFEST, "profile.json")
    assert measured.timings[0].visits == 6
    assert measured.timings[0].cpu_ms is None


def test_the_machine_is_described_by_what_is_known_of_machines():
    assert machine_in(read(result()), "pi5") == DeviceFacts(
        name="pi5",
        cpu_model="Cortex-A76",
        isa=("aarch64",),
        cores=4,
        temperature_start_c=41.0,
        temperature_end_c=55.5,
    )
    assert machine_in(read(result(celsius=[None, None])), "pi5").temperature_start_c is None
    for machine in (None, {"cpu_model": "x" * 201}, {"isa": [{}]}, {"isa": ["a"] * 65}, {"cores": {}}):
        with pytest.raises(InvalidInput, match="machine"):
            read(result(machine=machine))
    with pytest.raises(InvalidInput, match="celsius"):
        read(result(celsius=["warm"]))


def test_the_runtime_is_the_one_that_the_bundle_names():
    found = runtime_in(read(result()), MANIFEST, "profile.json")
    assert found == {"name": "onnxruntime", "version": "1.20", **OPTIONS}
    wrong = [None, {}, {**found, "threads": 2}, {**found, "name": "ncnn"}, {**found, "version": 1}]
    for runtime in [*wrong, {**found, "version": "1" * 201}]:
        with pytest.raises(InvalidInput, match="runtime"):
            runtime_in(read(result(runtime=runtime)), MANIFEST, "profile.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "profile.json is damaged"),
        (text_of(result())[:-100], "profile.json is damaged"),
        (text_of(result()).replace(b'"seconds": 3.5', b'"seconds": 3.6'), "was edited after it was written"),
        (b"PK\x03\x04\xff\xff", "profile.json is damaged"),
        (b"[" * 100_000, "nested deeper than"),
        (b"[" * 70 + b"]" * 70, "nested deeper than"),
        (json.dumps(changed([float("nan"), 1.0])).encode(), "NaN is not a number"),
        (json.dumps(changed([float("inf"), 1.0])).encode(), "Infinity is not a number"),
        (text_of(result()).replace(b"3.5", b"1e999"), "1e999 is too large a number"),
        (b"[]", "has no kind, version and checksum.*; take the profile.json that measure.py wrote"),
        (record_text("profile", 3, result()).encode(), "is of kind 'profile', and a 'measurement' is wanted"),
        (record_text(RESULT_KIND, 9, result()).encode(), "has version 9 of a measurement, newer than 2"),
        (record_text(RESULT_KIND, 1, result()).encode(), "has version 1 of a measurement, not 2"),
        (text_of(result(bundle="../../etc/passwd")), "at `bundle`"),
        (text_of(result(bundle=None)), "at `bundle`"),
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
        os.truncate(file.fileno(), LARGEST_FILE + 1)
    with pytest.raises(InvalidInput, match="has 64 MB, and 64 are the most that is read"):
        read_result(tmp_path / "large.json")
