"""How long `ofa.Supernet(model, example)` takes, by the number of blocks and for models of their usual size.

    python -m benchmarks.analysis_speed [--packages FOLDER] [--output benchmarks/results/analysis_speed.json]

CPU seconds of one conversion on one thread, with every width allowed and with the default rules. The blocks are
residual convolutions, dense blocks' layers and transformer blocks whose heads are a number in Python, 10 to 80 of them;
the layers of a dense block see all those before, so that their own work grows with the square. The models are
torchvision's and timm's with random weights on one image of 224 pixels, ResNet-50 also on two of 64; what cannot be
imported is left out. FOLDER: see `benchmarks.any_model`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ofa
from benchmarks.collection.attention import Block, Joint, ViT
from benchmarks.collection.libraries import make_importable
from ofa.paths import write_json

BLOCKS = (10, 20, 40, 80)
RULES = {"every width": ofa.SpaceRules(width_ratios=None, multiple_of=1), "default": ofa.SpaceRules()}
USUAL = (
    ("torchvision", "resnet50", 224, 1),
    ("torchvision", "resnet50", 64, 2),
    ("torchvision", "densenet121", 224, 1),
    ("torchvision", "vit_b_16", 224, 1),
    ("torchvision", "swin_t", 224, 1),
    ("timm", "swin_tiny_patch4_window7_224", 224, 1),
)


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Returns a tensor of x's shape."""
        return x + self.body(x)


class Dense(nn.Module):
    """A layer of a dense block: eight more channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.BatchNorm2d(channels), nn.Conv2d(channels, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Returns x with eight more channels."""
        return torch.cat([x, self.conv(self.norm(x).relu())], 1)


def convolutions(blocks: int) -> nn.Module:
    """Returns a network of residual blocks."""
    return _network([Residual() for _ in range(blocks)], 16)


def dense(blocks: int) -> nn.Module:
    """Returns a network of one dense block."""
    return _network([Dense(16 + 8 * i) for i in range(blocks)], 16 + 8 * blocks)


def transformer(blocks: int) -> nn.Module:
    """Returns a vision transformer."""
    return ViT(lambda: Block(Joint()), depth=blocks)


def _network(body: list[nn.Module], width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)
    )


def seconds(build: Callable[[], nn.Module], images: Tensor) -> dict[str, float]:
    """Returns CPU seconds of the conversion, by the rules."""
    result = {}
    for name, rules in RULES.items():
        torch.manual_seed(0)
        model = build().eval()
        start = time.process_time()
        ofa.Supernet(model, images, rules)
        result[name] = round(time.process_time() - start, 2)
    return result


def usual(library: str, name: str) -> nn.Module:
    """Returns a model of a library."""
    if library == "torchvision":
        import torchvision

        model: nn.Module = torchvision.models.get_model(name, weights=None)
        return model
    import timm

    other: nn.Module = timm.create_model(name)
    return other


def main() -> None:
    """Prints rows of a table as they are measured, and writes them as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", default="")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "analysis_speed.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    sys.path += [arguments.packages] if arguments.packages else []
    missing = make_importable()
    rows: list[dict[str, Any]] = []

    def measured(model: str, build: Callable[[], nn.Module], images: Tensor) -> None:
        rows.append({"model": model, **seconds(build, images)})
        print("| " + " | ".join(map(str, rows[-1].values())) + " |", flush=True)
        write_json(arguments.output, {"torch": torch.__version__, "left_out": missing, "rows": rows})

    print(f"| model | {' | '.join(RULES)} |\n|---|---|---|")
    seconds(lambda: convolutions(2), torch.randn(2, 3, 8, 8))  # what torch does once
    for kind, build, pixels in (
        ("residual convolutions", convolutions, 8),
        ("dense layers", dense, 8),
        ("transformer blocks", transformer, 32),
    ):
        for blocks in BLOCKS:
            images = torch.randn(2, 3, pixels, pixels)
            measured(f"{blocks} {kind}", lambda build=build, blocks=blocks: build(blocks), images)  # type: ignore[misc]
    for library, name, pixels, batch in USUAL:
        if library not in missing:
            images = torch.randn(batch, 3, pixels, pixels)
            network = f"{library} {name}, {batch} x {pixels} x {pixels}"
            measured(network, lambda library=library, name=name: usual(library, name), images)  # type: ignore[misc]


if __name__ == "__main__":
    main()
