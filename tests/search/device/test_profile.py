"""Profile files: the round trip, and each way a file can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.profile import read_profile
from tests.record_files import rewrite
from tests.search.profiles import plain_content, profile, profile_in


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
    content = plain_content(profile())
    content["anchors"][0]["ms"] *= 1.01
    assert profile_in(content).digest != profile().digest


def _without(content: dict, *keys: str) -> None:
    for key in keys[:-1]:
        content = content[key]
    del content[keys[-1]]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda c: c.update(version=4), "version 4 of a profile, newer than 3, which this program reads: update"),
        (lambda c: c.update(version="1"), "version '1'"),
        (lambda c: c.update(version=2), "version 2 of a profile, not 3; .* ofa profile with force=true"),
        (lambda c: c.update(kind="stage"), "is of kind 'stage', and a 'profile' is wanted"),
        (lambda c: _without(c, "sentinel"), "sentinel"),
        (lambda c: _without(c, "device", "name"), "`name` - at `device`|device"),
        (lambda c: c["space"].update(digest="../x"), "space.digest"),
        (lambda c: _without(c, "protocol", "input_shape"), "input_shape"),
        (lambda c: _without(c, "blocks"), "blocks"),
        (lambda c: c.update(anchors=[]), "anchors"),
        (lambda c: c["anchors"][2].update(ms=-0.1), r"anchors\[2\].ms"),
        (lambda c: c["anchors"][2].update(ms=0), r"anchors\[2\].ms"),
        (lambda c: c["anchors"][2].update(ms="fast"), r"anchors\[2\].ms"),
        (lambda c: c["anchors"][2].pop("ms"), r"`ms`.*anchors\[2\]"),
        (lambda c: c["anchors"][2].update(arch={"hight": {}}), r"anchors\[2\].arch"),
        (lambda c: c["anchors"][2].update(arch=[]), r"anchors\[2\].arch"),
        (lambda c: c["anchors"][2].update(costs={}), r"costs must have macs at `anchors\[2\]`"),
        (lambda c: c["anchors"][2]["costs"].update(macs=-1), r"anchors\[2\].costs"),
        (lambda c: c["fit"]["coefficients"].update(macs=None), r"expected `float`, got `null` at `fit.coefficients"),
        (lambda c: c["fit"]["coefficients"].update(macs=10**400), "[nN]umber out of range"),
        (lambda c: c["fit"]["coefficients"].update(macs=1e308), "fit does not fit the anchors"),
        (lambda c: c["fit"]["coefficients"].update(intercept=500.0), "fit does not fit the anchors"),
        (lambda c: c["fit"]["coefficients"].update(unknown=1.0), "fit uses 'unknown', which anchors do not have"),
        (lambda c: c["anchors"][2].update(ms=1e308), r"anchors\[2\].ms"),
        (lambda c: c.update(fit=[]), "fit"),
        (lambda c: c.update(quality=3), "quality"),
        (lambda c: c.update(alignment=[]), "alignment"),
        (lambda c: c.update(blocks=[{"key": 1}]), r"blocks\[0\]"),
    ],
)
def test_a_wrong_field_is_named_with_the_file(tmp_path: Path, spoil, named):
    path = tmp_path / "bench.json"
    profile().write(path)
    rewrite(path, spoil)
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
    profile().write(path)
    path.write_text(path.read_text().replace('"cores": 2', '"cores": 3'))
    with pytest.raises(InvalidInput, match=r"bench\.json was edited after it was written .*; restore it, or measure"):
        read_profile(path)
    path.write_text("[]")
    with pytest.raises(InvalidInput, match="has no kind, version and checksum"):
        read_profile(path)
