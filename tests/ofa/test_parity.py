"""Supernet, subnet and extract agree, for many Archs on every model, with randomized weights and statistics."""

import numpy as np
import pytest
import torch

import ofa
from tests.ofa.nets import SHIPPED, from_zoo, shipped, zeroed_output
from tests.ofa.zoo import AWKWARD, PLAIN


def check(supernet: ofa.Supernet, images: torch.Tensor, count: int) -> None:
    rng = np.random.default_rng(0)
    archs = [supernet.space.largest, supernet.space.smallest] + [supernet.space.sample(rng) for _ in range(count)]
    for arch in archs:
        with torch.no_grad():
            viewed = supernet.subnet(arch).eval()(images)
            extracted = supernet.extract(arch).eval()(images)
            torch.testing.assert_close(viewed, extracted, rtol=1e-10, atol=1e-10)
            torch.testing.assert_close(viewed, zeroed_output(supernet, arch, images), rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(
            supernet.subnet(supernet.space.largest).eval()(images), supernet.model(images), rtol=0, atol=0
        )


SLOW = {"mobilenet", "resnet56"}
MODELS = [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in SHIPPED]
COUNTS = {**dict.fromkeys(SHIPPED, 20), "resnet56": 10, "mobilenet": 5}  # of Archs


@pytest.mark.parametrize(
    ("name", "count"), [*COUNTS.items(), *(pytest.param(name, 50, marks=pytest.mark.slow) for name in SHIPPED)]
)
def test_shipped_models_agree_in_double_precision(name: str, count: int) -> None:
    supernet, images = shipped(name)
    check(supernet, images, count)


@pytest.mark.parametrize("name", MODELS)
def test_shipped_models_agree_in_single_precision(name: str) -> None:
    supernet, images = shipped(name)
    supernet.model.float()
    images = images.float()
    rng = np.random.default_rng(1)
    for _ in range(10):
        arch = supernet.space.sample(rng)
        with torch.no_grad():
            viewed = supernet.subnet(arch).eval()(images)
            extracted = supernet.extract(arch).eval()(images)
            scale = float(viewed.abs().max())
            torch.testing.assert_close(viewed, extracted, rtol=0, atol=1e-5 * max(1.0, scale))
            wide = zeroed_output(supernet, arch, images)
            torch.testing.assert_close(viewed, wide, rtol=0, atol=1e-5 * max(1.0, scale))


@pytest.mark.parametrize("name", [*PLAIN, *AWKWARD])
def test_other_peoples_models_agree(name: str) -> None:
    supernet, images = from_zoo(name)
    check(supernet, images, 10)
