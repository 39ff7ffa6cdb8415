"""Subnets of a smaller resolution: their folders hold inputs, ONNX and cards of it, and load again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import ofa
from ofa.arch import read_arch
from ofa.errors import InvalidInput
from ofa.models import ResNet
from ofa.randomize import randomize_
from search.networks.folder import SubnetFolder
from search.networks.rebuild import load
from search.run.cards import SubnetCard, SubnetFacts
from search.subnets.extract import extract_subnet
from tests.record_files import rewrite

CONFIG = {"_target_": "ofa.models.ResNet", "depth": 8, "widths": [8, 16, 16]}
SHAPE = (3, 12, 16)


@pytest.fixture(scope="module")
def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    net = randomize_(ResNet(SHAPE, 10, depth=8, widths=(8, 16, 16))).eval()
    return ofa.Supernet(net, torch.randn(2, *SHAPE), ofa.SpaceRules(multiple_of=4, resolutions=(6, 9)))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(32, *SHAPE, generator=torch.Generator().manual_seed(1))


def extracted(supernet: ofa.Supernet, folder: Path, images: torch.Tensor, height: int, **options: Any) -> SubnetCard:
    arch = supernet.space.arch({**supernet.space.smallest.values, "resolution.input": height})
    return extract_subnet(
        supernet,
        arch,
        folder,
        calibration_images=images,
        verify_images=images[16:],
        facts=SubnetFacts(),
        model_config=CONFIG,
        space_rules=supernet.rules,
        **options,
    )


@pytest.mark.parametrize(("height", "width"), [(6, 8), (9, 12), (12, 16)])
def test_a_folder_is_of_the_resolution_of_its_arch(
    tmp_path: Path, supernet: ofa.Supernet, images: torch.Tensor, height: int, width: int
) -> None:
    card, files = extracted(supernet, tmp_path / "net", images, height), SubnetFolder(tmp_path / "net")
    assert card.input_shape == (3, height, width) and card.rebuild.input_shape == SHAPE
    arch = read_arch(files.arch)
    assert arch.resolution == {"input": height}
    assert card.macs == ofa.cost(supernet, [arch])["macs"][0]
    verify = np.load(files.verify)
    given = ofa.resized(images[16:24], arch)
    np.testing.assert_array_equal(verify["input"], given.numpy())
    view = ofa.calibrate(supernet.subnet(arch), ofa.resized(images, arch))
    with torch.no_grad():
        np.testing.assert_allclose(verify["logits"], view(given).numpy(), atol=1e-5)
        np.testing.assert_allclose(load(files.root)(given).numpy(), verify["logits"], atol=1e-5)
    session = onnxruntime.InferenceSession(files.onnx)
    assert session.get_inputs()[0].shape[1:] == [3, height, width]
    np.testing.assert_allclose(session.run(None, {"input": verify["input"]})[0], verify["logits"], atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "message"), [([3, 24, 24], "verify.npz holds images of shape"), ([2**15] * 3, "no shape of images")]
)
def test_a_card_of_another_resolution_is_refused(
    tmp_path: Path, supernet: ofa.Supernet, images: torch.Tensor, shape: list[int], message: str
) -> None:
    extracted(supernet, tmp_path / "net", images, 6)
    files = SubnetFolder(tmp_path / "net")
    rewrite(files.card, lambda content: content["rebuild"].update(input_shape=shape))
    with pytest.raises(InvalidInput, match=message):
        load(files.root)


def test_a_pruned_subnet_keeps_its_masks_and_its_resolution(
    tmp_path: Path, supernet: ofa.Supernet, images: torch.Tensor
) -> None:
    arch = supernet.space.arch({**supernet.space.smallest.values, "resolution.input": 9})
    network = ofa.calibrate(supernet.extract(arch), ofa.resized(images, arch))
    weight = network.get_parameter("stem.conv.weight")
    mask = torch.rand(weight.shape, generator=torch.Generator().manual_seed(0)) < 0.5
    with torch.no_grad():
        weight.mul_(mask)
    card = extracted(supernet, tmp_path / "net", images, 9, network=network, masks={"stem.conv.weight": mask})
    again = load(tmp_path / "net")
    assert card.input_shape == (3, 9, 12)
    assert torch.equal(again.get_parameter("stem.conv.weight") != 0, mask)
    with torch.no_grad():
        assert torch.equal(again(ofa.resized(images, arch)), network(ofa.resized(images, arch)))
