"""The CIFAR ResNets (20, 32, 56 layers and the rest of the family)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput, nearest
from ofa.models.sizes import check_positive, check_shape, initialize_

SHORTCUTS = ("conv", "pad")


class PadShortcut(nn.Module):
    """The shortcut without parameters ("option A"): every second pixel, and zeros for new channels."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, maps: Tensor) -> Tensor:
        """Returns (N, outputs, H / stride, W / stride)."""
        return functional.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut: (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            if shortcut == "conv":
                projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
                self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
            else:
                self.shortcut = PadShortcut(inputs, outputs, stride)

    def forward(self, maps: Tensor) -> Tensor:
        """Returns the sum of the two paths, after a ReLU."""
        change = functional.relu(self.norm1(self.conv1(maps)))
        change = self.norm2(self.conv2(change))
        return functional.relu(change + self.shortcut(maps))


class ResNet(nn.Module):
    """ResNet of 6 n + 2 layers in three stages: images (N, C, H, W) to logits (N, num_classes).

    `depth` counts layers (20, 32, 44, 56, 110, ...); `widths` are the channels of the stages, the first also
    the stem's; `shortcut` is "conv" (1x1 convolution and norm) or "pad" (no parameters; widths may not
    shrink). `zero_last_norm` starts every block as its shortcut. `stem_stride` 2 or 4 suits images above 64
    pixels.
    Source: He et al. 2016, 1512.03385, section 4.2 ("pad" is its option A).

    Raises:
        InvalidInput: a depth that is not 6 n + 2, an unknown shortcut, or a size that does not fit.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        num_classes: int = 10,
        depth: int = 20,
        widths: Sequence[int] = (16, 32, 64),
        shortcut: str = "conv",
        stem_stride: int = 1,
        zero_last_norm: bool = False,
    ) -> None:
        super().__init__()
        channels, _, _ = check_shape("ResNet", input_shape)
        check_positive("ResNet", num_classes=num_classes, depth=depth, widths=widths, stem_stride=stem_stride)
        if depth < 8 or (depth - 2) % 6:
            near = max(8, 6 * round((depth - 2) / 6) + 2)
            raise InvalidInput(f"ResNet depth={depth}: must be 6 n + 2 (8, 14, 20, 32, 56, ...); the nearest is {near}")
        if shortcut not in SHORTCUTS:
            raise InvalidInput(f"ResNet shortcut={shortcut!r} is unknown; {nearest(shortcut, SHORTCUTS)}")
        if len(widths) != 3 or (shortcut == "pad" and list(widths) != sorted(widths)):
            rule = "three widths, one per stage" + (", not shrinking" if shortcut == "pad" else "")
            raise InvalidInput(f"ResNet widths={tuple(widths)} with shortcut={shortcut!r}: give {rule}")
        self.stem = nn.Sequential()
        self.stem.add_module("conv", nn.Conv2d(channels, widths[0], 3, stride=stem_stride, padding=1, bias=False))
        self.stem.add_module("norm", nn.BatchNorm2d(widths[0]))
        self.stem.add_module("activation", nn.ReLU())
        self.stages = nn.ModuleList()
        inputs = widths[0]
        for stage, outputs in enumerate(widths):
            blocks = nn.Sequential()
            for block in range((depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                blocks.append(ResidualBlock(inputs, outputs, stride, shortcut))
                inputs = outputs
            self.stages.append(blocks)
        self.classifier = nn.Linear(inputs, num_classes)
        initialize_(self)
        if zero_last_norm:
            for module in self.modules():
                if isinstance(module, ResidualBlock):
                    nn.init.zeros_(module.norm2.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes)."""
        maps = self.stem(images)
        for stage in self.stages:
            maps = stage(maps)
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits
