"""Every choice of a space, and models of the user's own, from training to the folder and back to plain PyTorch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.app.main import main
from search.networks.rebuild import load
from tests.without_the_package import check_plain_pytorch

QUICK = ["device.profile.anchors=6", "device.profile.seconds=1", "device.profile.visits=4", "device.profile.blocks=4"]
QUICK += ["search.evaluations=4", "search.calibration_images=64", "search.finalists.seconds=1"]
QUICK += ["search.finalists.visits=4", "search.finalists.candidates=1", "search.latency_fractions=null"]
# The same candidates whatever the profile says.
QUICK += ["search.align=8", "sampler=random"]
DATA = ["data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=200", "run=tiny"]
STAGES = [
    "{width: 8, blocks: 1, expansion: 1, squeeze_excite: false, activation: relu}",
    "{width: 16, blocks: 2, expansion: 3, kernel_size: 5, stride: 2}",
]
MODEL = """
from torch import nn


class Plain(nn.Module):
    def __init__(self, input_shape, num_classes, width=16):
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(input_shape[0], width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.leave = nn.Linear(width, num_classes)

    def forward(self, images):
        return self.leave(self.enter(images).mean((2, 3)))
"""

# Neither the ONNX exporter nor a trace takes it.
AWKWARD = """
import torch
from torch import nn


class Awkward(nn.Module):
    def __init__(self, input_shape, num_classes):
        super().__init__()
        self.leave = nn.Linear(input_shape[1] * (input_shape[2] // 2 + 1), num_classes)

    def forward(self, images):
        waves = torch.fft.rfft2(images).abs().mean(1).flatten(1)
        return self.leave(waves if waves.sum() > 0 else -waves)
"""


def checked(place: Path, model: torch.nn.Module | None = None) -> torch.nn.Module:
    """The network of a folder, whose logits are those of verify.npz."""
    net = load(place, model=model)
    with np.load(place / "verify.npz") as verify, torch.no_grad():
        np.testing.assert_allclose(net(torch.from_numpy(verify["input"])), verify["logits"], atol=1e-6)
    return net


@pytest.mark.slow
def test_depths_widths_and_kernel_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = ["model=mobilenet", f"+model.stages=[{','.join(STAGES)}]", "model.head_width=32", "model.dropout=0.2"]
    train = ["train.epochs=1", "train.batch_size=32", "train.calibration_images=64", "space=kernel_transforms"]
    assert main(["train", *model, *DATA, *train]) == 0
    assert main(["search", "run=tiny", *QUICK]) == 0
    run = tmp_path / "outputs/tiny"
    rows = json.loads((run / "search/onnxruntime/trials.json").read_text())["rows"]
    numbers = [row["number"] for row in rows if row["state"] == "evaluated"][:4]
    for number in numbers:
        assert main(["extract", "run=tiny", f"trial={number}", "export.calibration_images=64"]) == 0
    places = [run / f"subnets/onnxruntime-trial-{number}" for number in numbers]
    archs = [Arch.from_json((place / "arch.json").read_text()) for place in places]
    assert {size for arch in archs for size in arch.kernel_size.values()} >= {3, 5}
    assert {depth for arch in archs for depth in arch.depth.values()} >= {1, 2}
    for place in places:
        checked(place)
    check_plain_pytorch(*places)


@pytest.mark.slow
def test_a_model_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_plain_model.py").write_text(MODEL)
    (tmp_path / "conf_of_mine/model").mkdir(parents=True)
    (tmp_path / "conf_of_mine/model/plain.yaml").write_text("_target_: my_plain_model.Plain\nwidth: 16\n")
    short = ["dense.epochs=1", "dense.batch_size=32", "prune.retraining.epochs=1", "name=slim"]
    assert main(["prune", "--config-dir", "conf_of_mine", "model=plain", *DATA, *short, "prune=channels"]) == 0
    place = tmp_path / "outputs/tiny/prune/slim"
    from my_plain_model import Plain  # type: ignore[import-not-found]

    for folder in (place, place / "slim"):
        way_out = r"'my_plain_model\.Plain'.*trust=\[my_plain_model\].*load\(folder, model=\.\.\.\)"
        with pytest.raises(InvalidInput, match=way_out):
            load(folder)
        given = Plain((1, 8, 8), 4)
        before = {name: tensor.clone() for name, tensor in given.state_dict().items()}
        net = checked(folder, given)
        assert type(net) is Plain and net is not given
        assert all(torch.equal(before[name], tensor) for name, tensor in given.state_dict().items())
    assert net.leave.in_features < 16
    with pytest.raises(InvalidInput, match="is of another model"):
        load(place / "slim", model=Plain((1, 8, 8), 5))
    check_plain_pytorch(place, place / "slim")  # which need no class of the user's either


def test_a_network_without_onnx_and_source_is_pruned_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_awkward_model.py").write_text(AWKWARD)
    (tmp_path / "conf_of_mine/model").mkdir(parents=True)
    (tmp_path / "conf_of_mine/model/awkward.yaml").write_text("_target_: my_awkward_model.Awkward\n")
    short = ["dense.epochs=1", "dense.batch_size=32", "prune.retraining.epochs=1", "prune.sparsity=0.5", "name=sparse"]
    schedule = "prune/schedule=one_shot"
    assert main(["prune", "--config-dir", "conf_of_mine", "model=awkward", *DATA, *short, schedule]) == 0
    said = capsys.readouterr().err
    assert "prune: no ONNX file of the pruned network: Awkward cannot be written as ONNX opset 18" in said
    assert "prune: no network.py of the pruned network: Awkward cannot be written as plain PyTorch" in said
    place = tmp_path / "outputs/tiny/prune/sparse"
    card = json.loads((place / "card.json").read_text())
    assert "opset 18" in card["onnx"]["refused"] and "plain PyTorch" in card["plain_pytorch"]["refused"]
    assert set(card["files"]) == {"model.safetensors", "masks.safetensors", "arch.json", "verify.npz"}
    from my_awkward_model import Awkward  # type: ignore[import-not-found]

    checked(place, Awkward((1, 8, 8), 4))
    assert main(["report", "run=tiny"]) == 0
