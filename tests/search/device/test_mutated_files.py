"""Profiles and measurements with any value changed, and a checksum that fits: whole, or refused in a line."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ofa.errors import InvalidInput
from search.device.profile import read_profile
from search.device.remote.result import machine_in, measurement_in, read_result, runtime_in
from tests.record_files import rewrite
from tests.search.device.remote.test_result import MANIFEST, result, text_of
from tests.search.profiles import profile

VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    2**63,
    10**400,
    1e308,
    -1e308,
    "",
    "../x",
    "a" * 20_000,
    [],
    {},
    [None],
    {"a": []},
]
KINDS = ("profile", "measurement")


def places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a value of JSON holds something, the first item of each list."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:1]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*before, key)
        yield from places(item, (*before, key))


def use_profile(path: Path) -> None:
    read = read_profile(path)
    assert np.isfinite(read.predict({"macs": np.array([anchor.costs["macs"] for anchor in read.anchors])})).all()
    assert read.digest


def use_measurement(path: Path) -> None:
    read = read_result(path)
    measured = measurement_in(read, MANIFEST, "profile.json")
    assert (np.isfinite(measured.ms) & (measured.ms > 0)).all()
    machine_in(read, "pi5")
    runtime_in(read, MANIFEST, "profile.json")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", KINDS)
def test_no_value_of_json_ends_in_a_traceback(tmp_path: Path, kind: str) -> None:
    use: Callable[[Path], None] = use_profile if kind == "profile" else use_measurement
    path = tmp_path / "whole.json"
    if kind == "profile":
        profile().write(path)
    else:
        path.write_bytes(text_of(result()))
    use(path)
    whole = path.read_bytes()
    content = {key: item for key, item in json.loads(whole).items() if key not in ("kind", "version", "checksum")}
    refused = accepted = 0
    for place in places(content):
        for value in VALUES:
            path.write_bytes(whole)
            rewrite(path, lambda changed, place=place, value=value: put(changed, place, value))
            try:
                use(path)
                accepted += 1
            except InvalidInput as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > accepted


def put(content: Any, place: tuple[Any, ...], value: Any) -> None:
    """Sets what is at a place."""
    for key in place[:-1]:
        content = content[key]
    content[place[-1]] = copy.deepcopy(value)
