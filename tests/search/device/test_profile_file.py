"""Profile files: the round trip, and each way a file can be wrong."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.profile_file import Profile, read_profile
from tests.search.profiles import profile


def test_round_trip(tmp_path: Path):
    path = tmp_path / "bench.json"
    written = profile()
    written.write(path)
    again = read_profile(path)
    assert again == written
    assert again.digest == written.digest
    assert (again.name, again.anchors[3].arch) == ("bench", Arch(width={"stem": 32}))
    np.testing.assert_array_equal(again.predict({"macs": [5e6]}), written.predict({"macs": [5e6]}))
    assert json.loads(path.read_text())["blocks"] == []


def test_the_digest_follows_the_content():
    content = profile().to_dict()
    content["anchors"][0]["ms"] *= 1.01
    assert Profile.from_dict(content).digest != profile().digest


def _without(content: dict, *keys: str) -> None:
    for key in keys[:-1]:
        content = content[key]
    del content[keys[-1]]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda c: c.update(schema=3), "schema 3 is newer than 2"),
        (lambda c: c.update(schema="1"), "schema = '1'"),
        (lambda c: c.update(schema=0), "schema = 0"),
        (lambda c: _without(c, "sentinel"), "sentinel"),
        (lambda c: _without(c, "device", "name"), "device.name"),
        (lambda c: _without(c, "space", "digest"), "space.digest"),
        (lambda c: _without(c, "protocol", "input_shape"), "input_shape"),
        (lambda c: _without(c, "blocks"), "blocks"),
        (lambda c: c.update(anchors=[]), "anchors is empty"),
        (lambda c: c["anchors"][2].update(ms=-0.1), r"anchors\[2\].ms = -0.1"),
        (lambda c: c["anchors"][2].update(ms=0), r"anchors\[2\].ms = 0"),
        (lambda c: c["anchors"][2].update(ms="fast"), r"anchors\[2\].ms = 'fast'"),
        (lambda c: c["anchors"][2].pop("ms"), r"anchors\[2\].ms = None"),
        (lambda c: c["anchors"][2].update(arch={"hight": {}}), r"anchors\[2\].arch"),
        (lambda c: c["anchors"][2].update(costs={}), r"anchors\[2\].costs"),
        (lambda c: c["fit"]["coefficients"].update(macs=None), "coefficients.macs"),
        (lambda c: c.update(fit=[]), "latency model"),
        (lambda c: c.update(quality=3), "quality"),
    ],
)
def test_a_wrong_field_is_named_with_the_file(tmp_path: Path, spoil, named):
    path = tmp_path / "bench.json"
    content = copy.deepcopy(profile().to_dict())
    spoil(content)
    path.write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match=named) as error:
        read_profile(path)
    assert "bench.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_and_missing_files_are_named(tmp_path: Path):
    path = tmp_path / "bench.json"
    with pytest.raises(InvalidInput, match=r"bench\.json does not exist"):
        read_profile(path)
    profile().write(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InvalidInput, match=r"bench\.json is damaged"):
        read_profile(path)
    path.write_text("[]")
    with pytest.raises(InvalidInput, match="must be a JSON object"):
        read_profile(path)
