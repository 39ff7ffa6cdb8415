"""Views and extracted networks agree however they run: by autocast, in half precision, compiled, in inference mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.models import ResNet, ViT
from ofa.randomize import randomize_
from tests.ofa.computed_models import wrapped

SHAPE = (3, 8, 8)
IMAGES = torch.randn(4, *SHAPE, generator=torch.Generator().manual_seed(0))
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: ResNet(SHAPE, 5, depth=8),
    "vit": lambda: ViT(SHAPE, 5, patch=4),
    "weight_norm": lambda: wrapped("weight_norm"),
    "spectral_norm": lambda: wrapped("spectral_norm"),
}


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return randomize_(NETWORKS[name]().eval())


@cache
def supernet_of(name: str) -> ofa.Supernet:
    return ofa.Supernet(made(name), IMAGES)


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def apart(first: Tensor, second: Tensor) -> float:
    return float((first.float() - second.float()).abs().max() / second.float().abs().max())


@pytest.mark.parametrize("name", NETWORKS)
def test_autocast(name: str) -> None:
    supernet = supernet_of(name)
    arch = supernet.space.smallest
    view, extracted = supernet.subnet(arch), supernet.extract(arch)
    with torch.no_grad():
        plain = extracted(IMAGES)
        with torch.autocast("cpu", torch.bfloat16):
            seen = view(IMAGES)
            assert seen.dtype == torch.bfloat16 and torch.equal(seen, extracted(IMAGES))
    assert apart(seen, plain) < 0.05


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_under_autocast(name: str, accumulate: bool) -> None:
    supernet = ofa.Supernet(made(name), IMAGES)
    arch = supernet.space.smallest
    weights = list(supernet.parameters())
    found = []
    for ways in (nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        for weight in weights:
            weight.grad = torch.zeros_like(weight)
        with ways:
            out = supernet.subnet(arch, accumulate=accumulate)(IMAGES)
        out.float().square().mean().backward()
        found.append(torch.cat([weight.grad.flatten() for weight in weights if weight.grad is not None]))
    assert apart(found[1], found[0]) < 0.1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NETWORKS)
def test_half_precision(name: str, dtype: torch.dtype) -> None:
    supernet = ofa.Supernet(made(name).to(dtype), IMAGES.to(dtype))
    assert supernet.space == supernet_of(name).space
    arch = supernet.space.smallest
    with torch.no_grad():
        seen = supernet.subnet(arch)(IMAGES.to(dtype))
        assert seen.dtype == dtype and torch.equal(seen, supernet.extract(arch)(IMAGES.to(dtype)))
        assert apart(seen, supernet_of(name).extract(arch)(IMAGES)) < 0.05


@pytest.mark.parametrize("kind", ["view", "extracted"])
@pytest.mark.parametrize("name", ["vit", "weight_norm", "spectral_norm"])
def test_compiled(name: str, kind: str) -> None:
    supernet = supernet_of(name)
    arch = supernet.space.smallest
    net = supernet.subnet(arch) if kind == "view" else supernet.extract(arch)
    expected = supernet.extract(arch)(IMAGES)
    with torch.no_grad():
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True)(IMAGES)
        assert apart(compiled, expected) < 1e-5


@pytest.mark.parametrize("name", ["weight_norm"])
def test_gradients_of_a_compiled_view_reach_the_supernet(name: str) -> None:
    supernet = ofa.Supernet(made(name), IMAGES)
    arch = supernet.space.smallest
    found = []
    for compiled in (False, True):
        for weight in supernet.parameters():
            weight.grad = None
        view = supernet.subnet(arch)
        net = torch.compile(view, backend="aot_eager") if compiled else view
        net(IMAGES).square().mean().backward()
        found.append({key: weight.grad for key, weight in supernet.model.named_parameters()})
    for key, gradient in found[0].items():
        torch.testing.assert_close(found[1][key], gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.slow  # the compiler of C++ runs
def test_compiled_by_inductor() -> None:
    supernet = supernet_of("weight_norm")
    arch = supernet.space.smallest
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = torch.compile(supernet.subnet(arch))(IMAGES)
        assert apart(compiled, supernet.extract(arch)(IMAGES)) < 1e-5


def test_a_view_that_is_compiled_in_place_leaves_the_supernet_alone() -> None:
    supernet = supernet_of("weight_norm")
    arch = supernet.space.smallest
    view = supernet.subnet(arch)
    view.compile(backend="eager")
    with torch.no_grad():
        assert torch.equal(view(IMAGES), supernet.extract(arch)(IMAGES))
        assert supernet.model._compiled_call_impl is None


CONTEXTS: dict[str, Callable[[], AbstractContextManager[object]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "meta": lambda: torch.device("meta"),
}


@pytest.mark.parametrize("context", CONTEXTS)
@pytest.mark.parametrize("name", ["resnet", "vit", "spectral_norm"])
def test_conversion_does_not_depend_on_the_modes_of_its_caller(name: str, context: str) -> None:
    net = made(name)
    with CONTEXTS[context]():
        supernet = ofa.Supernet(net, IMAGES)
    assert supernet.space == supernet_of(name).space
    assert supernet.structure.trace.epsilon == supernet_of(name).structure.trace.epsilon
    arch = supernet.space.smallest
    assert torch.equal(supernet.extract(arch)(IMAGES), supernet_of(name).extract(arch)(IMAGES))


def test_a_model_of_inference_tensors_is_converted() -> None:
    with torch.inference_mode():
        net = made("resnet")
        supernet = ofa.Supernet(net, IMAGES)
        arch = supernet.space.smallest
        assert torch.equal(supernet.subnet(arch)(IMAGES), supernet.extract(arch)(IMAGES))
    assert supernet.space == supernet_of("resnet").space
