"""What a layer sees: its inputs as vectors, one for each image and position."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.prune.initializers.layers import TRANSPOSED, Layer, fans

MOST = 2**25  # numbers held at once: 256 MiB


def patches(layer: Layer, inputs: Tensor, count: int, generator: torch.Generator) -> Tensor | None:
    """Returns up to `count` input vectors of the layer, float64 on the CPU: (groups, vectors, inputs of one output).

    A vector is what one row of the weight is multiplied with: padded, strided and dilated as the layer does it.
    Images and positions are drawn with replacement, or all taken where there are no more than `count`. None for
    transposed convolutions, which have no such vectors. Very wide layers give fewer, to bound the memory.
    """
    if isinstance(layer, TRANSPOSED):
        return None
    count = max(1, min(count, MOST // (fans(layer)[0] * getattr(layer, "groups", 1))))
    if isinstance(layer, nn.Linear):
        vectors = inputs.flatten(0, -2)
        return vectors[_drawn(len(vectors), count, generator).to(vectors.device)].double().cpu()[None]
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    windows = functional.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)
    dimensions = inputs.dim() - 2
    for axis in range(dimensions):
        kernel, stride, dilation = layer.kernel_size[axis], layer.stride[axis], layer.dilation[axis]
        windows = windows.unfold(2 + axis, (kernel - 1) * dilation + 1, stride)[..., ::dilation]
    places = (windows.shape[0], *windows.shape[2 : 2 + dimensions])  # images and positions
    chosen = torch.unravel_index(_drawn(torch.Size(places).numel(), count, generator).to(windows.device), places)
    vectors = windows.movedim(1, 1 + dimensions)[chosen]  # (vectors, channels, kernel...)
    grouped: Tensor = vectors.reshape(len(vectors), layer.groups, -1).transpose(0, 1)
    return grouped.double().cpu()


def _drawn(available: int, count: int, generator: torch.Generator) -> Tensor:
    """Indices of all, or of `count` drawn ones (few enough of many, so repetitions do no harm)."""
    if available <= count:
        return torch.arange(available)
    return torch.randint(available, (count,), generator=generator)
