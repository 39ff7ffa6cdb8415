"""Bundles: what a zip holds, that it is the same every time, and what cannot be one."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import onnxruntime
import pytest
from msgspec import structs

from ofa.errors import InvalidInput
from ofa.records import content_of
from search.device import OnnxRuntime
from search.device.latency.sample import Sample, choose_sample
from search.device.measuring import MeasureStep
from search.device.remote.bundle import measuring_script, portable, write_bundle
from search.device.remote.manifest import BundleManifest, BundleProtocol, read_manifest, with_digest
from search.device.runtimes import TorchEager
from search.device.standalone.files import record_text
from search.device.standalone.manifest import MANIFEST_KIND, MANIFEST_VERSION

PROTOCOL = BundleProtocol(clock="wall", visits=6, repeats=2, seconds=1.0, seed=0)


@pytest.fixture(scope="module")
def sample(supernet) -> Sample:
    return choose_sample(supernet, anchors=6, blocks=4, alignment=True, seed=0)


def written(path: Path, supernet, sample, runtime=None, **options) -> BundleManifest:
    named = {
        "device": "pi",
        "purpose": "profile",
        "protocol": PROTOCOL,
        "settings": {"a": 1},
        "versions": {},
        **options,
    }
    return write_bundle(path, supernet, runtime or OnnxRuntime(), sample, **named)


def test_a_bundle_holds_networks_a_manifest_and_one_script(tmp_path, supernet, sample):
    rows: list[MeasureStep] = []
    manifest = written(tmp_path / "pi.zip", supernet, sample, progress=rows.append)
    count = 6 + len(sample.parts) + 1
    with zipfile.ZipFile(tmp_path / "pi.zip") as bundle:
        assert bundle.testzip() is None
        names = bundle.namelist()
        (tmp_path / "kept").mkdir()
        (tmp_path / f"kept/{manifest.digest}.json").write_bytes(bundle.read("manifest.json"))
        assert bundle.read("measure.py").decode() == measuring_script()
        for network in manifest.networks:
            (file,) = network.files.values()
            content = bundle.read(file.name)
            assert hashlib.sha256(content).hexdigest() == file.sha256
            given = onnxruntime.InferenceSession(content).get_inputs()[0]
            assert given.shape[1:] == list(network.shape[1:])
    assert sorted(names) == sorted(["manifest.json", "measure.py", *(f"networks/{n:04d}.onnx" for n in range(count))])
    assert [row.done for row in rows] == list(range(1, count + 1))
    (kept,) = (tmp_path / "kept").iterdir()
    assert read_manifest(kept) == manifest
    for change, said in [
        ({"device": "other"}, "is of bundle"),
        ({"macs": [-1.0]}, "macs"),
        ({"archs": [[]]}, "archs"),
        ({"networks": [{"shape": [1], "files": 3}]}, "networks"),
        ({"networks": []}, "is of bundle"),
    ]:
        kept.write_text(record_text(MANIFEST_KIND, MANIFEST_VERSION, {**content_of(manifest), **change}))
        with pytest.raises(InvalidInput, match=said):
            read_manifest(kept)
    fewer = with_digest(structs.replace(manifest, networks=manifest.networks[1:]))
    path = kept.with_name(f"{fewer.digest}.json")
    path.write_text(record_text(MANIFEST_KIND, MANIFEST_VERSION, content_of(fewer)))
    with pytest.raises(InvalidInput, match=f"is damaged .{count - 1} networks"):
        read_manifest(path)
    assert (manifest.space, len(manifest.archs), manifest.widths) == (
        supernet.space.digest,
        6,
        sample.items.widths,
    )


def test_the_same_networks_give_the_same_bits_and_trained_weights_stay_here(tmp_path, supernet, sample):
    for name in ("a", "b"):
        written(tmp_path / f"{name}.zip", supernet, sample)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    weights = [net.state_dict()["conv1.weight"].numpy().tobytes()[:64] for net, _ in sample.nets]
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        for name in bundle.namelist():
            assert not any(weight in bundle.read(name) for weight in weights)


class Picky(OnnxRuntime):
    """Writes no network of one input channel but whole ones."""

    def write(self, net, example_input):
        if example_input.shape[1] == 32:  # the probes
            raise InvalidInput("no")
        return super().write(net, example_input)


def test_parts_that_cannot_be_written_are_left_out(tmp_path, supernet, sample):
    manifest = written(tmp_path / "pi.zip", supernet, sample, Picky())
    absent = [network.files is None for network in manifest.networks]
    assert absent[:6] == [False] * 6
    assert sum(absent) >= len(sample.items.widths)


class Refusing(OnnxRuntime):
    def write(self, net, example_input):
        raise InvalidInput("this runtime refuses everything")


def test_a_subnet_that_cannot_be_written_ends_it_and_nothing_is_left(tmp_path, supernet, sample):
    with pytest.raises(InvalidInput, match="refuses everything"):
        written(tmp_path / "pi.zip", supernet, sample, Refusing())
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_zip_is_not_replaced(tmp_path, supernet, sample):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"notes\.txt is there and is no zip"):
        written(tmp_path / "notes.txt", supernet, sample)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(InvalidInput, match="is no zip"):
        written(tmp_path, supernet, sample)


def test_a_runtime_without_files_is_refused_with_those_that_have_them():
    assert portable(OnnxRuntime()).loader == "onnxruntime"
    with pytest.raises(InvalidInput, match=r"eager cannot be .* can: onnxruntime, openvino, ncnn, executorch"):
        portable(TorchEager())
