"""Every model that the parity tests run on, and a second, independent way to compute a subnet's output."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa
from ofa.models import LeNet5, LeNet5Caffe, LeNet300, MobileNet, ResNet
from ofa.randomize import randomize_
from tests.ofa import zoo

SHAPE = (3, 16, 16)

SHIPPED: dict[str, Callable[[], nn.Module]] = {
    "lenet300": lambda: LeNet300(SHAPE, 10),
    "lenet5": lambda: LeNet5(SHAPE, 10),
    "lenet5_caffe": lambda: LeNet5Caffe(SHAPE, 10),
    "resnet20_conv": lambda: ResNet(SHAPE, 10, depth=20, shortcut="conv"),
    "resnet20_pad": lambda: ResNet(SHAPE, 10, depth=20, shortcut="pad"),
    "resnet32": lambda: ResNet(SHAPE, 10, depth=32),
    "resnet56": lambda: ResNet(SHAPE, 10, depth=56),
    "mobilenet": lambda: MobileNet(SHAPE, 10),
}


def small_resnet() -> nn.Module:
    """A residual network of three stages with one block each, the same at every call."""
    torch.manual_seed(0)
    return ResNet(SHAPE, 4, depth=8, widths=(8, 8, 16))


def shipped(name: str) -> tuple[ofa.Supernet, Tensor]:
    """A randomized supernet of a shipped model, in double precision, and an input; each call's own."""
    torch.manual_seed(0)
    return copy.deepcopy(_shipped(name))


def from_zoo(name: str) -> tuple[ofa.Supernet, Tensor]:
    """A randomized supernet of a model from the zoo, in double precision, and an input; each call's own."""
    torch.manual_seed(0)
    return copy.deepcopy(_from_zoo(name))


@cache  # a supernet takes seconds to make and milliseconds to copy
def _shipped(name: str) -> tuple[ofa.Supernet, Tensor]:
    model = randomize_(SHIPPED[name]().double().eval())
    images = torch.randn(2, *SHAPE, dtype=torch.float64)
    rules = ofa.SpaceRules(multiple_of=4, kernel_sizes={"*depthwise": [3, 5]} if name == "mobilenet" else {})
    return ofa.Supernet(model, images, rules), images


@cache
def _from_zoo(name: str) -> tuple[ofa.Supernet, Tensor]:
    model = randomize_({**zoo.PLAIN, **zoo.AWKWARD}[name]().double().eval())
    images = zoo.example().double()
    return ofa.Supernet(model, images, ofa.SpaceRules(multiple_of=1)), images


def zeroed_output(supernet: ofa.Supernet, arch: ofa.Arch, images: Tensor) -> Tensor:
    """The full model's output without removed units, dropped blocks and the rims of kernels.

    Their weights are zero, and layer norms run over the channels that are kept.
    """
    model = copy.deepcopy(supernet.model)
    tensors = dict(model.named_parameters())
    with torch.no_grad():
        for group in supernet.groups:
            kept = arch.width.get(group.name, group.channels) // group.channels_per_unit
            for member in group.members:
                if member.source in tensors and kept < group.units:
                    gone = torch.from_numpy(member.index[kept:].reshape(-1))
                    tensors[member.source].index_fill_(member.dim, gone, 0)
        for path, kernel in arch.kernel_size.items():
            weight = tensors[f"{path}.weight"]
            rim = (weight.shape[-1] - kernel) // 2
            keep = torch.zeros_like(weight)
            keep[..., rim : rim + kernel, rim : rim + kernel] = 1
            weight.mul_(keep)
        for stage in supernet.structure.stages:
            for path in stage.dropped(arch.depth.get(stage.name, len(stage.blocks))):
                model.get_submodule(path).forward = lambda x: x  # type: ignore[method-assign]
        for module in model.modules():
            if isinstance(module, nn.LayerNorm):
                module.forward = partial(_norm_of_kept, module)  # type: ignore[method-assign]
        return model(images)


def _norm_of_kept(norm: nn.LayerNorm, value: Tensor) -> Tensor:
    """A layer norm over the channels whose weight is not zero: the others are removed."""
    kept = norm.weight != 0
    result = torch.zeros_like(value)
    weight, bias = norm.weight[kept], None if norm.bias is None else norm.bias[kept]
    result[..., kept] = F.layer_norm(value[..., kept], (len(weight),), weight, bias, norm.eps)
    return result
