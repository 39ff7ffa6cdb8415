"""A joint search by the commands: candidates fine-tuned, finalists kept and extracted with their masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.torch import load_file

from search.app.main import main
from search.networks.rebuild import load
from tests.without_the_package import check_plain_pytorch

pytestmark = pytest.mark.slow

JOINT = ["run=tiny", "search=joint", "search.evaluations=10", "search.calibration_images=64", "search.tuning.epochs=2"]
JOINT += [
    "search.tuning.zero_shot=12",
    "search.tuning.finalist_epochs=3",
    "search.tuning.least=3",
    "search.tuning.rewind=0.5",
]
JOINT += ["latency_ms=1000", "search.finalists.seconds=1", "search.finalists.visits=6"]
PROFILE = [
    "device.profile.anchors=8",
    "device.profile.seconds=2",
    "device.profile.visits=6",
    "device.profile.blocks=10",
]
JOINT += ["search.finalists.candidates=2", *PROFILE]


def test_a_joint_search_from_the_study_to_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "experiment=tiny", "train.epochs=2"]) == 0
    assert main(["profile", "run=tiny", *PROFILE]) == 0
    profile = tmp_path / "outputs/tiny/profiles/onnxruntime.json"
    profiled = profile.read_bytes()
    assert main(["search", *JOINT, "study=one"]) == 0
    rows = json.loads((tmp_path / "outputs/tiny/search/one/trials.json").read_text())["rows"]
    states = [row["state"] for row in rows]
    assert states.count("evaluated") + states.count("given up") == 10
    assert all(row["settings"] for row in rows)
    assert all(len(row["history"]) == 2 for row in rows if row["state"] == "evaluated")
    (finalist,) = json.loads((tmp_path / "outputs/tiny/search/one/finalists.json").read_text())["finalists"]
    tuned = tmp_path / "outputs/tiny/search/one/tuned" / finalist["chosen"]["tuned"]
    assert main(["extract", "run=tiny", "study=one"]) == 0
    (folder,) = (tmp_path / "outputs/tiny/subnets").glob("one-*ms")
    card = json.loads((folder / "card.json").read_text())
    weights, masks = load_file(folder / "model.safetensors"), load_file(folder / "masks.safetensors")
    kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    assert card["density"] == pytest.approx(kept)
    assert card["settings"] == finalist["chosen"]["settings"]
    assert all((weights[name][~mask] == 0).all() for name, mask in masks.items())
    assert card["sparse_bytes"] == json.loads((tuned / "card.json").read_text())["bytes"]
    check = np.load(folder / "verify.npz")
    (logits,) = onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"input": check["input"]})
    np.testing.assert_allclose(logits, check["logits"], atol=1e-4)
    net = load(folder)
    parameters = dict(net.named_parameters())
    assert all((parameters[name][~mask] == 0).all() for name, mask in masks.items())
    check_plain_pytorch(folder)
    assert main(["report", "run=tiny"]) == 0
    page = (tmp_path / "outputs/tiny/report.html").read_text()
    assert f"{states.count('evaluated')} candidates that were evaluated to the end" in page
    assert f"{states.count('given up')} more w" in page
    assert "<h2>Schedule, starting weights and sparsity</h2>" in page
    capsys.readouterr()

    assert main(["search", *JOINT, "study=one"]) == 0
    assert "nothing to do" in capsys.readouterr().err
    profile.write_bytes(profiled)  # without what the first search measured: the same limits
    assert main(["search", *JOINT, "study=two"]) == 0  # the same candidates: no fine-tuning is made twice
    again = json.loads((tmp_path / "outputs/tiny/search/two/trials.json").read_text())["rows"]
    assert [(row["scores"], row["settings"]) for row in again] == [(row["scores"], row["settings"]) for row in rows]
    assert all(row["cached"] for row in again if row["state"] == "evaluated")
    lost = next(row["number"] for row in rows if row["state"] == "given up")
    assert main(["extract", "run=tiny", "study=one", f"trial={lost}"]) == 2
    assert "its weights were not kept" in capsys.readouterr().err
    assert main(["search", *JOINT, "study=three", "workers=2"]) == 0
    assert main(["search", *JOINT, "study=four", "search.limits.bytes=10"]) == 2
    assert "bytes=10 cannot be met" in capsys.readouterr().err
    assert main(["search", "run=tiny", "+search.parameters.x={sets: seed, whole: [1, 2]}"]) == 2
    assert "give search=joint" in capsys.readouterr().err
