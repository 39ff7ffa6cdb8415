"""Counts what torch.compile would compile for random subnets, if their blocks were compiled instead of the networks.

    python -m benchmarks.compiled_blocks [--subnets 20] [--ways dynamic,static]

A graph of a block would serve every subnet that has a block of its shapes. Counted are the blocks of the subnets, those
of different shapes, and the graphs that PyTorch captures for the largest, the smallest and so many random subnets of a
ResNet, with and without dynamic sizes. Nothing is generated from the graphs, which takes far longer.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor, nn

import ofa
from ofa.arch import Arch
from ofa.models.resnet import ResidualBlock, ResNet

IMAGES = (4, 3, 16, 16)
WAYS = {"dynamic": True, "static": False}


def supernet() -> ofa.Supernet:
    """Returns the small ResNet of the default model, for color images."""
    torch.manual_seed(0)
    made = ofa.Supernet(ResNet(IMAGES[1:], 10, depth=14, widths=[16, 24, 32]), torch.randn(IMAGES))
    for parameter in made.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return made


def shapes_of(view: nn.Module) -> list[tuple[tuple[int, ...], ...]]:
    """Returns the shapes of input and weights of each block of a view."""
    seen: list[tuple[tuple[int, ...], ...]] = []

    def note(block: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append((tuple(given[0].shape), *(tuple(weight.shape) for weight in block.parameters())))

    for block in view.modules():
        if isinstance(block, ResidualBlock):
            block.register_forward_pre_hook(note)
    view(torch.randn(IMAGES))
    return seen


def graphs(made: ofa.Supernet, archs: list[Arch], dynamic: bool) -> list[int]:
    """Returns how many graphs were captured after each Arch."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1_000_000
    plain = ResidualBlock.forward
    ResidualBlock.forward = torch.compile(plain, backend="eager", dynamic=dynamic)  # type: ignore[method-assign]
    try:
        counts = []
        for arch in archs:
            made.subnet(arch, accumulate=True)(torch.randn(IMAGES)).sum().backward()
            counts.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
        return counts
    finally:
        ResidualBlock.forward = plain  # type: ignore[method-assign]


def main() -> None:
    """Prints the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subnets", type=int, default=20)
    parser.add_argument("--ways", default=",".join(WAYS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    made, rng = supernet(), np.random.default_rng(0)
    archs = [made.space.sample(rng) for _ in range(options.subnets)]
    blocks = [shapes for arch in archs for shapes in shapes_of(made.subnet(arch, accumulate=True))]
    print(f"{made.space.size:,} subnets; {len(archs)} of them have {len(blocks)} blocks, {len(set(blocks))} different")
    for way in options.ways.split(","):
        start = time.process_time()
        counts = graphs(made, [made.space.largest, made.space.smallest, *archs], WAYS[way])
        print(f"{way}: graphs after each subnet {counts}, {time.process_time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
