"""What a machine says of itself."""

from __future__ import annotations

import json

from search.device.standalone.machine import describe_machine, temperature_celsius


def test_a_machine_has_a_name_and_cores():
    found = describe_machine("bench")
    assert found["name"] == "bench"
    assert found["cores"] >= 1
    assert json.loads(json.dumps(found)) == found
    assert describe_machine()["name"] == found["cpu_model"]


def test_the_hottest_sensor_counts_and_broken_ones_do_not(tmp_path):
    assert temperature_celsius(tmp_path) is None
    for number, text in enumerate(["41500", "", "broken", "-5000", "62000\n"]):
        (tmp_path / f"thermal_zone{number}").mkdir()
        (tmp_path / f"thermal_zone{number}/temp").write_text(text)
    (tmp_path / "thermal_zone9").mkdir()
    assert temperature_celsius(tmp_path) == 62.0
