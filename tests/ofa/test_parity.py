"""Supernet, subnet and extract agree, for many Archs on every model, with randomised weights and statistics."""

import numpy as np
import pytest
import torch

import ofa
from tests.ofa.nets import SHIPPED, from_zoo, shipped, zeroed_output
from tests.ofa.zoo import AWKWARD, PLAIN


def check(supernet: ofa.Supernet, images: torch.Tensor, count: int, with_zeroed: bool) -> None:
    rng = np.random.default_rng(0)
    archs = [supernet.space.largest, supernet.space.smallest] + [supernet.space.sample(rng) for _ in range(count)]
    for arch in archs:
        with torch.no_grad():
            viewed = supernet.subnet(arch).eval()(images)
            extracted = supernet.extract(arch).eval()(images)
            torch.testing.assert_close(viewed, extracted, rtol=1e-10, atol=1e-10)
            if with_zeroed:
                torch.testing.assert_close(viewed, zeroed_output(supernet, arch, images), rtol=1e-10, atol=1e-10)
    with torch.no_grad():
        torch.testing.assert_close(
            supernet.subnet(supernet.space.largest).eval()(images), supernet.model(images), rtol=0, atol=0
        )


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_agree_in_double_precision(name: str) -> None:
    supernet, images = shipped(name)
    check(supernet, images, 10 if name == "resnet56" else 50, with_zeroed=True)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_agree_in_single_precision(name: str) -> None:
    supernet, images = shipped(name)
    supernet.model.float()
    images = images.float()
    rng = np.random.default_rng(1)
    for _ in range(10 if name == "resnet56" else 50):
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
    # Behind a layer norm a removed channel changes the statistics, so zeroing is another function there.
    check(supernet, images, 10, with_zeroed=not any(group.renormalised for group in supernet.groups))


@pytest.mark.slow
def test_resnet56_agrees_for_fifty_archs() -> None:
    supernet, images = shipped("resnet56")
    check(supernet, images, 50, with_zeroed=True)
