"""A MobileNetV3-style network: inverted residual blocks with squeeze-and-excitation."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from ofa.models.mobilenet_stage import DEFAULT_STAGES, Stage, drop_strides, multiple_of_8, read_stages
from ofa.models.sizes import check_between, check_positive, check_shape, initialize_

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "hardswish": nn.Hardswish}


class SqueezeExcite(nn.Module):
    """Scales each channel by a number in [0, 1] made from the means of all channels; same shape out.

    Source: Hu et al. 2018, 1709.01507, with the hard sigmoid of Howard et al. 2019, 1905.02244.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, squeezed, 1)
        self.restore = nn.Conv2d(squeezed, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        """Returns the scaled maps (N, C, H, W)."""
        means = maps.mean((2, 3), keepdim=True)
        return maps * functional.hardsigmoid(self.restore(functional.relu(self.reduce(means))))


class InvertedResidual(nn.Module):
    """Expand (1x1), filter each channel (depthwise), project (1x1); a residual where shapes allow it.

    Shapes: (N, inputs, H, W) to (N, outputs, H / stride, W / stride). No expand layer where the expansion is
    1.
    Source: Howard et al. 2019, 1905.02244.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, stage: Stage) -> None:
        super().__init__()
        size = stage.kernel_size
        hidden = inputs if stage.expansion == 1 else multiple_of_8(inputs * stage.expansion)
        self.expand: nn.Conv2d | None = None
        if stage.expansion != 1:
            self.expand = nn.Conv2d(inputs, hidden, 1, bias=False)
            self.expand_norm = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, size, stride=stride, padding=size // 2, groups=hidden, bias=False)
        self.depthwise_norm = nn.BatchNorm2d(hidden)
        self.squeeze_excite: nn.Module = nn.Identity()
        if stage.squeeze_excite:
            self.squeeze_excite = SqueezeExcite(hidden, multiple_of_8(hidden / 4))
        self.project = nn.Conv2d(hidden, outputs, 1, bias=False)
        self.project_norm = nn.BatchNorm2d(outputs)
        self.activation = _ACTIVATIONS[stage.activation]()
        self.residual = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        """Returns the block's maps; the sum with its input where it is a residual block."""
        hidden = maps
        if self.expand is not None:
            hidden = self.activation(self.expand_norm(self.expand(hidden)))
        hidden = self.activation(self.depthwise_norm(self.depthwise(hidden)))
        out: Tensor = self.project_norm(self.project(self.squeeze_excite(hidden)))
        return maps + out if self.residual else out


class MobileNet(nn.Module):
    """Stem, stages of inverted residual blocks, head: images (N, C, H, W) to logits (N, num_classes).

    `stages` are `Stage`s or mappings with its fields; only the first block of a stage has its stride. Strides
    that would make the last maps smaller than `least_map` pixels become 1, the earliest first, so one list of
    stages serves images from 8 to 224 pixels. `hidden` is the width of the layer before the classifier, 0 for
    none.
    Source: Howard et al. 2019, 1905.02244, in stages of equal blocks as in Cai et al. 2020, 1908.09791.

    Raises:
        InvalidInput: a stage field that is unknown or does not fit, a size below 1, a dropout outside [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (3, 32, 32),
        num_classes: int = 10,
        stem_width: int = 16,
        stem_stride: int = 2,
        stages: Sequence[Stage | Mapping[str, Any]] = DEFAULT_STAGES,
        head_width: int = 480,
        hidden: int = 0,
        dropout: float = 0.0,
        least_map: int = 4,
    ) -> None:
        super().__init__()
        channels, height, width = check_shape("MobileNet", input_shape)
        check_positive("MobileNet", num_classes=num_classes, stem_width=stem_width, stem_stride=stem_stride)
        check_positive("MobileNet", head_width=head_width, least_map=least_map)
        if hidden:
            check_positive("MobileNet", hidden=hidden)
        check_between("MobileNet", 0, 1, dropout=dropout)
        plan = read_stages(stages)
        strides = drop_strides([stem_stride, *(stage.stride for stage in plan)], min(height, width), least_map)

        self.stem = _conv_norm(channels, stem_width, 3, strides[0])
        self.stages = nn.ModuleList()
        inputs = stem_width
        for stage, first_stride in zip(plan, strides[1:], strict=True):
            blocks = nn.Sequential()
            for block in range(stage.blocks):
                blocks.append(InvertedResidual(inputs, stage.width, first_stride if block == 0 else 1, stage))
                inputs = stage.width
            self.stages.append(blocks)
        self.head = _conv_norm(inputs, head_width, 1, 1)
        self.hidden = nn.Linear(head_width, hidden) if hidden else None
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(hidden or head_width, num_classes)
        initialize_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes)."""
        maps = self.stem(images)
        for stage in self.stages:
            maps = stage(maps)
        features = self.head(maps).mean((2, 3))
        if self.hidden is not None:
            features = functional.hardswish(self.hidden(features))
        logits: Tensor = self.classifier(self.dropout(features))
        return logits


def _conv_norm(inputs: int, outputs: int, kernel_size: int, stride: int) -> nn.Sequential:
    """Returns a convolution with norm and hardswish, named conv, norm and activation."""
    conv = nn.Conv2d(inputs, outputs, kernel_size, stride=stride, padding=kernel_size // 2, bias=False)
    layers = OrderedDict[str, nn.Module](conv=conv, norm=nn.BatchNorm2d(outputs), activation=nn.Hardswish())
    return nn.Sequential(layers)
