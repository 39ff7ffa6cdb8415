"""LeNet-300-100 and LeNet-5, the small networks of the pruning literature."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.models.sizes import check_positive, check_shape, initialize_


class LeNet300(nn.Module):
    """A multilayer perceptron: images (N, C, H, W) to logits (N, num_classes).

    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition".

    Raises:
        InvalidInput: a size that is not a whole number above 0.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        hidden: Sequence[int] = (300, 100),
    ) -> None:
        super().__init__()
        shape = check_shape("LeNet300", input_shape)
        check_positive("LeNet300", num_classes=num_classes, hidden=hidden)
        sizes = (math.prod(shape), *hidden)
        self.hidden = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))
        self.classifier = nn.Linear(sizes[-1], num_classes)
        initialize_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes)."""
        features = images.flatten(1)
        for layer in self.hidden:
            features = functional.relu(layer(features))
        logits: Tensor = self.classifier(features)
        return logits


class LeNet5(nn.Module):
    """Two convolutions, three linear layers: images (N, C, H, W), 4x4 or more, to logits (N, num_classes).

    Images below 16 pixels get "same" padding in both convolutions, larger ones in the first alone, as the
    original does for 28x28 (there 32x32). `batch_norm` adds norm layers after the convolutions, for elastic
    training.
    Source: LeCun et al. 1998, "Gradient-based learning applied to document recognition" (max pooling, ReLU).

    Raises:
        InvalidInput: a size that is not a whole number above 0, or images below 4x4.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        channels: Sequence[int] = (6, 16),
        hidden: Sequence[int] = (120, 84),
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        inputs, height, width = check_shape("LeNet5", input_shape, least=4)
        check_positive("LeNet5", num_classes=num_classes, channels=channels, hidden=hidden)
        if len(channels) != 2 or len(hidden) != 2:
            sizes = f"channels={tuple(channels)} and hidden={tuple(hidden)}"
            raise InvalidInput(f"LeNet5 {sizes}: give two numbers in each, one per layer")
        first, second = channels
        units, features = hidden
        trim = 0 if min(height, width) < 16 else 4  # pixels that an unpadded 5x5 convolution removes
        flat = second * ((height // 2 - trim) // 2) * ((width // 2 - trim) // 2)

        def norm(size: int) -> nn.Module:
            return nn.BatchNorm2d(size) if batch_norm else nn.Identity()

        self.conv1 = nn.Conv2d(inputs, first, 5, padding=2)
        self.norm1 = norm(first)
        self.conv2 = nn.Conv2d(first, second, 5, padding=0 if trim else 2)
        self.norm2 = norm(second)
        self.linear1 = nn.Linear(flat, units)
        self.linear2 = nn.Linear(units, features)
        self.classifier = nn.Linear(features, num_classes)
        initialize_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes)."""
        maps = functional.max_pool2d(functional.relu(self.norm1(self.conv1(images))), 2)
        maps = functional.max_pool2d(functional.relu(self.norm2(self.conv2(maps))), 2)
        hidden = functional.relu(self.linear1(maps.flatten(1)))
        logits: Tensor = self.classifier(functional.relu(self.linear2(hidden)))
        return logits


class LeNet5Caffe(nn.Module):
    """The LeNet-5 of the pruning literature, 431,080 parameters: images (N, C, H, W), 16x16 or more, to logits.

    Two unpadded convolutions and two linear layers. Pooling comes before ReLU: the same numbers, a quarter of the
    work. Source: Caffe's MNIST example (Jia et al. 2014, 1408.5093), the net that Han et al. 2015 (1506.02626) prune.

    Raises:
        InvalidInput: a size that is not a whole number above 0, or images below 16x16.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 28, 28),
        num_classes: int = 10,
        channels: Sequence[int] = (20, 50),
        hidden: int = 500,
    ) -> None:
        super().__init__()
        inputs, height, width = check_shape("LeNet5Caffe", input_shape, least=16)
        check_positive("LeNet5Caffe", num_classes=num_classes, channels=channels, hidden=hidden)
        if len(channels) != 2:
            raise InvalidInput(f"LeNet5Caffe channels={tuple(channels)}: give two numbers, one per layer")
        first, second = channels
        flat = second * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
        self.conv1 = nn.Conv2d(inputs, first, 5)
        self.conv2 = nn.Conv2d(first, second, 5)
        self.linear = nn.Linear(flat, hidden)
        self.classifier = nn.Linear(hidden, num_classes)
        initialize_(self)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes)."""
        maps = functional.relu(functional.max_pool2d(self.conv1(images), 2))
        maps = functional.relu(functional.max_pool2d(self.conv2(maps), 2))
        logits: Tensor = self.classifier(functional.relu(self.linear(maps.flatten(1))))
        return logits
