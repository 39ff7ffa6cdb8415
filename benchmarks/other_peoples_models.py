"""Converts models that this toolkit has never heard of, and checks their subnets.

    pip install transformers && python benchmarks/other_peoples_models.py [NAME ...]

Every model is built from its configuration with random weights (nothing is downloaded), weights and norm statistics
are randomised, and in double precision 20 random subnets are compared with their extracted copies, and the sizes that
`ofa.cost` gives with what a forward counts. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import ofa
from ofa.randomise import randomise_

SHAPE = (3, 64, 64)


class Logits(nn.Module):
    """Hands on the logits alone."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, classes)."""
        logits: Tensor = self.net(images).logits
        return logits


def builders() -> dict[str, Callable[[], nn.Module]]:
    """Returns small configurations of models from the transformers library, by name."""
    import transformers as hub

    sizes: dict[str, Any] = {"num_labels": 10}
    four = {"hidden_sizes": [16, 32, 48, 64], "depths": [2, 2, 2, 2]}
    two = {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [2, 3]}
    small = {"width_coefficient": 0.5, "depth_coefficient": 0.5, "hidden_dim": 640}
    heads = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    return {
        "ResNet": lambda: hub.ResNetForImageClassification(hub.ResNetConfig(**two, **sizes)),
        "RegNet": lambda: hub.RegNetForImageClassification(hub.RegNetConfig(**two, groups_width=8, **sizes)),
        "ConvNeXt": lambda: hub.ConvNextForImageClassification(hub.ConvNextConfig(**four, **sizes)),
        "MobileNetV1": lambda: hub.MobileNetV1ForImageClassification(
            hub.MobileNetV1Config(depth_multiplier=0.25, image_size=64, **sizes)
        ),
        "MobileNetV2": lambda: hub.MobileNetV2ForImageClassification(
            hub.MobileNetV2Config(depth_multiplier=0.35, image_size=64, **sizes)
        ),
        "EfficientNet": lambda: hub.EfficientNetForImageClassification(
            hub.EfficientNetConfig(**small, image_size=64, **sizes)
        ),
        "PoolFormer": lambda: hub.PoolFormerForImageClassification(hub.PoolFormerConfig(**four, **sizes)),
        "ViT": lambda: hub.ViTForImageClassification(hub.ViTConfig(**heads, image_size=64, patch_size=16, **sizes)),
    }


def check(model: nn.Module) -> str:
    """Returns the cells of one row: time to convert, what was found, the worst difference, the counts."""
    images = torch.randn(2, *SHAPE)
    start = time.process_time()
    supernet = ofa.Supernet(model.eval(), images, ofa.SpaceRules(multiple_of=1))
    seconds = time.process_time() - start
    randomise_(model).double()
    rng = np.random.default_rng(0)
    archs = [supernet.space.sample(rng) for _ in range(20)]
    macs, worst, equal = ofa.cost(supernet, archs)["macs"], 0.0, 0
    for arch, count in zip(archs, macs, strict=True):
        net = supernet.extract(arch).eval()
        with torch.no_grad():
            difference = supernet.subnet(arch).eval()(images.double()) - net(images.double())
            with FlopCounterMode(display=False) as counter:
                net(images[:1].double())
        worst = max(worst, float(difference.abs().max()))
        equal += counter.get_total_flops() == 2 * int(count)
    kinds = [choice.kind for choice in supernet.space.choices]
    return (
        f"{seconds:.1f} | {kinds.count('width')} | {kinds.count('depth')} | {supernet.space.size:.1e} | "
        f"{len(supernet.refused)} | {worst:.0e} | {equal} of {len(archs)}"
    )


def main() -> None:
    """Prints a row for each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    print("| model | convert, s | widths | depths | subnets | refused in trial | worst difference | MACs equal |")
    print("|---|---|---|---|---|---|---|---|")
    for name, build in builders().items():
        if not names or name in names:
            torch.manual_seed(0)
            print(f"| {name} | {check(Logits(build()))} |", flush=True)


if __name__ == "__main__":
    main()
