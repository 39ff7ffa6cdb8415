"""The manifest of a bundle on the device: whole, or refused in a line, whoever wrote it."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from search.device.standalone.files import record_text
from search.device.standalone.manifest import MANIFEST_KIND, MANIFEST_VERSION, BundleDamaged, read_manifest
from search.device.standalone.script import read_network

NETWORK = {"shape": [1, 3, 8, 8], "files": {"onnx": {"name": "networks/0000.onnx", "sha256": "0" * 64}}}
REFUSED = {"shape": [1, 3, 8, 8], "files": None}
MANIFEST: dict[str, Any] = {
    "loader": "onnxruntime",
    "options": {"threads": 1},
    "digest": "0123456789abcdef",
    "archs": [{}],
    "macs": [1000],
    "pieces": [{}],
    "widths": [8],
    "networks": [NETWORK, REFUSED, REFUSED, NETWORK],
    "protocol": {"visits": 6, "repeats": 2, "seconds": 1.0, "seed": 0, "clock": "wall"},
}


def written(folder: Path, manifest: dict[str, Any]) -> Path:
    (folder / "manifest.json").write_text(record_text(MANIFEST_KIND, MANIFEST_VERSION, manifest))
    return folder


def test_a_whole_one_is_read(tmp_path: Path) -> None:
    assert read_manifest(written(tmp_path, MANIFEST))["options"] == {"threads": 1}


@pytest.mark.parametrize("name", ["/etc/passwd", "../secret", "networks/../../x", "/dev/zero", "networks/0000.onnx\n"])
def test_files_outside_the_bundle_are_not_read(tmp_path: Path, name: str) -> None:
    manifest = copy.deepcopy(MANIFEST)
    manifest["networks"][0]["files"]["onnx"]["name"] = name
    with pytest.raises(BundleDamaged, match=r"manifest\.json was edited: unpack the bundle again"):
        read_manifest(written(tmp_path, manifest))


@pytest.mark.parametrize(
    "change",
    [
        {"networks": []},
        {"networks": [NETWORK]},
        {"networks": [NETWORK] * 5},
        {"networks": [REFUSED, REFUSED, REFUSED, NETWORK]},
        {"networks": [NETWORK, REFUSED, REFUSED, REFUSED]},
        {"networks": [NETWORK, {"shape": [10**6] * 4, "files": None}, REFUSED, NETWORK]},
        {"networks": [NETWORK, {"shape": [-1], "files": None}, REFUSED, NETWORK]},
        {"networks": [NETWORK, {"shape": [1, 3, 8, 8]}, REFUSED, NETWORK]},
        {"networks": [NETWORK, 3, REFUSED, NETWORK]},
        {"macs": [-0.5]},
        {"macs": [True]},
        {"macs": [1e308]},
        {"macs": []},
        {"pieces": None},
        {"digest": None},
        {"loader": 3},
        {"archs": 1},
        {"options": None},
        {"protocol": {}},
        {"protocol": MANIFEST["protocol"] | {"visits": "many"}},
        {"protocol": MANIFEST["protocol"] | {"visits": 6.5}},
        {"protocol": MANIFEST["protocol"] | {"repeats": 0}},
        {"protocol": MANIFEST["protocol"] | {"seed": -1}},
        {"protocol": MANIFEST["protocol"] | {"seconds": -1}},
        {"protocol": MANIFEST["protocol"] | {"clock": ["wall"]}},
    ],
)
def test_what_it_cannot_say_is_refused_whatever_its_digest(tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(BundleDamaged, match="was edited"):
        read_manifest(written(tmp_path, MANIFEST | change))


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b"null", b"{}", b"", b'{"kind": "bundle", "kind": "bundle"}']
)
def test_damage_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleDamaged, match="is damaged: unpack the bundle again"):
        read_manifest(tmp_path)


def test_a_key_that_is_there_twice_is_damage(tmp_path: Path) -> None:
    path = written(tmp_path, MANIFEST) / "manifest.json"
    path.write_text(path.read_text().replace("{", '{"loader": "openvino",', 1))
    with pytest.raises(BundleDamaged, match="is damaged: unpack the bundle again"):
        read_manifest(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_links_and_pipes_are_not_read_as_networks(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "link.onnx").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("link.onnx", "pipe.onnx"):
        with pytest.raises(BundleDamaged, match="is missing"):
            read_network(tmp_path / name, "0" * 64)
