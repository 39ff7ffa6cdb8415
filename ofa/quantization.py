"""Networks that compute in float32 as in fewer bits: what a runtime's kernels will do, judged and trained for.

A mode quantizes and dequantizes around the layers of any network or view, by the calls of its forward: no module is
changed or added. Gradients go through as if nothing had been rounded (straight-through, Bengio et al. 2013, 1308.3432),
so that a training in the mode is one for the network in fewer bits (Jacob et al. 2018, 1712.05877).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from ofa.inputs import Example, Inputs, as_inputs, map_tensors
from ofa.modes import in_mode, op_by_op
from ofa.precisions import Int8Layers

INT8 = "int8"
RANGE_EXAMPLES = 512  # at most, that ranges of activations come from
STEPS = 64  # of an int8 weight to each side: 7 bits, see `search.device.quantization.int8`
LEVELS = 255  # steps of an activation in 8 bits, from its least value to its greatest
BLOCK = 32  # inputs of a linear layer that have a scale together in 4 bits
_SHRUNK = torch.linspace(1.0, 0.7, 13)  # of a block's largest weight: what is tried as the largest of 4 bits

# The least and the greatest value of an activation: scalars.
Range: TypeAlias = tuple[Tensor, Tensor]

_LAYERS: dict[Any, int] = {  # by the dimension of the weight's output channels
    **dict.fromkeys((functional.conv1d, functional.conv2d, functional.conv3d, functional.linear), 0),
    **dict.fromkeys((functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d), 1),
}
# What takes its inputs in 8 bits besides, by how many of them are activations. The runtime joins norms and rectifiers
# to the layer before, and others make no new values.
_OTHERS: dict[Any, int] = {
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__, Tensor.__iadd__), 2),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__, Tensor.__imul__), 2),
    **dict.fromkeys((torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm), 2),
    **dict.fromkeys((functional.hardswish, functional.hardsigmoid, functional.leaky_relu, functional.softmax), 1),
    **dict.fromkeys((torch.sigmoid, Tensor.sigmoid, functional.sigmoid, functional.silu, functional.gelu), 1),
    **dict.fromkeys((functional.avg_pool1d, functional.avg_pool2d), 1),
    **dict.fromkeys((functional.adaptive_avg_pool1d, functional.adaptive_avg_pool2d), 1),
    functional.scaled_dot_product_attention: 3,
}


def int8_weight(weight: Tensor, channels: int = 0) -> Tensor:
    """Returns a weight rounded to whole multiples of a scale for each output channel, `STEPS` to each side of 0.

    A norm after the layer changes no code: it multiplies a channel's scale.

    Args:
        channels: the dimension of the output channels.
    """
    largest = weight.detach().abs().movedim(channels, 0).flatten(1).amax(dim=1)
    scales = torch.where(largest > 0, largest / STEPS, 1.0)
    zeros = torch.zeros_like(scales, dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scales, zeros, channels, -STEPS, STEPS)


def int4_weight(weight: Tensor, channels: int = 0) -> Tensor:
    """Returns a weight rounded to 16 values: of an output channel, or of `BLOCK` inputs of a linear layer's output.

    Of some scales that with the smallest squared error is taken.

    Args:
        channels: the dimension of the output channels.
    """
    rows = weight.detach().movedim(channels, 0).flatten(1)
    if weight.dim() == 2:
        rows = functional.pad(rows, (0, -rows.shape[1] % BLOCK))
        rows = rows.reshape(len(rows), -1, BLOCK)
    largest = rows.abs().amax(dim=-1, keepdim=True).clamp(min=1e-12)
    tried = torch.stack([_four_bits(rows, share * largest / 7) for share in _SHRUNK.tolist()])
    best = (tried - rows).square().sum(dim=-1, keepdim=True).argmin(dim=0, keepdim=True)
    rounded = tried.gather(0, best.expand_as(tried[:1]))[0].flatten(1)
    shape = weight.movedim(channels, 0).shape
    rounded = rounded[:, : shape[1:].numel()].reshape(shape).movedim(0, channels)
    return weight + (rounded - weight.detach())


def _four_bits(rows: Tensor, scale: Tensor) -> Tensor:
    return (rows / scale).round().clamp(-8, 7) * scale


def int8_activation(values: Tensor, least: Tensor, greatest: Tensor) -> Tensor:
    """Returns an activation rounded to 256 values from `least` to `greatest`, of which one is 0."""
    low, high = least.clamp(max=0), greatest.clamp(min=0)
    scale = (high - low) / LEVELS
    scale = torch.where(scale > 0, scale, 1.0)
    zero = (-low / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(values, scale, zero, 0, LEVELS)


Activation = Callable[[Tensor], Tensor]


class Quantized(TorchFunctionMode):
    """Forwards inside of it compute with quantized weights, and what meets in a layer is quantized too.

    Args:
        weight: (weight, dimension of output channels) -> the rounded weight; None: as it is.
        activation: rounds an input of a layer, a sum, a product or a mean; None: as it is.
        where: whether the layer of a weight is rounded, by the weight's id; None: all are. What layers that are leave
            is rounded where others take it, too.
    """

    def __init__(
        self,
        weight: Callable[[Tensor, int], Tensor] | None,
        activation: Activation | None,
        where: Mapping[int, bool] | None = None,
    ) -> None:
        super().__init__()
        self._weight, self._activation, self._where = weight, activation, where
        self._rounds = where is None  # what is called now: as the last layer, before the first not

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Returns what a call returns with its inputs rounded."""
        kwargs = dict(kwargs or {})
        if func in _LAYERS and len(args) > 1:
            values, weight, *others = args
            if self._where is not None:
                self._rounds = self._where.get(id(weight), self._rounds)
            args = (self._rounded(values), self._rounded_weight(weight, _LAYERS[func]), *others)
        elif func in _OTHERS:
            count = _OTHERS[func]
            args = (*map(self._rounded, args[:count]), *args[count:])
        result = func(*args, **kwargs)
        if self._where is not None and isinstance(result, Tensor):
            result.left_by_rounded = self._rounds  # type: ignore[attr-defined]
        return result

    def _rounded(self, values: Any) -> Any:
        if self._activation is None or not isinstance(values, Tensor) or values.dim() < 2:
            return values
        if not (self._rounds or is_left_by_rounded(values)):
            return values
        return self._activation(values) if values.is_floating_point() else values

    def _rounded_weight(self, weight: Tensor, channels: int) -> Tensor:
        return weight if self._weight is None or not self._rounds else self._weight(weight, channels)


def is_left_by_rounded(values: Tensor) -> bool:
    """Whether an activation was made by what is rounded, of a network in which not all is."""
    return bool(getattr(values, "left_by_rounded", False))


def of_batch(values: Tensor) -> Tensor:
    """Returns an activation in 8 bits between its own least and greatest value, as while training."""
    return int8_activation(values, *values.detach().aminmax())


def in_training(name: str, where: Mapping[int, bool] | None = None) -> Quantized:
    """Returns the mode of a forward pass of a training for "int8", or for "int4" of weights alone.

    Args:
        where: as in `Quantized`.
    """
    return Quantized(int8_weight, of_batch, where) if name == INT8 else Quantized(int4_weight, None, where)


def observed(net: nn.Module, batches: Iterable[Inputs], layers: Int8Layers | None = None) -> tuple[Range, ...]:
    """Returns the ranges of a network's activations over some inputs, in the order of its calls, its outputs last.

    Args:
        net: in float32; it runs in eval mode.
        layers: those in int8; None: all.
    """
    where = None if layers is None else layers.by_weight(net)
    ranges: list[Range] = []
    position = 0

    def note(values: Tensor) -> Tensor:
        nonlocal position
        least, greatest = values.aminmax()
        if position == len(ranges):
            ranges.append((least, greatest))
        else:
            ranges[position] = torch.minimum(ranges[position][0], least), torch.maximum(ranges[position][1], greatest)
        position += 1
        return values

    for batch in batches:
        position = 0
        with in_mode(net, training=False), torch.no_grad(), op_by_op():
            with Quantized(None, note, where):
                outputs = batch.call(net)
            _of_floats(note, outputs, everywhere=layers is None)
    return tuple(ranges)


class Simulated(nn.Module):
    """A network in the place of itself in int8: its outputs are those of a runtime, but for rare ties of rounding.

    Args:
        net: in float32, in eval mode.
        ranges: of its activations, see `observed`.
        layers: those in int8; None: all.
    """

    def __init__(self, net: nn.Module, ranges: Sequence[Range], layers: Int8Layers | None = None) -> None:
        super().__init__()
        self.network = net
        self._ranges, self._layers = ranges, layers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns what the network returns in int8."""
        ranges = iter(self._ranges)

        def between(values: Tensor) -> Tensor:
            return int8_activation(values, *next(ranges))

        where = None if self._layers is None else self._layers.by_weight(self.network)
        with Quantized(int8_weight, between, where):
            outputs = self.network(*args, **kwargs)
        return _of_floats(between, outputs, everywhere=where is None)


def _of_floats(change: Activation, outputs: Any, *, everywhere: bool) -> Any:
    """The outputs of a network with those changed that are no whole numbers, and that rounded layers left."""

    def changed(tensor: Tensor) -> Tensor:
        return change(tensor) if tensor.is_floating_point() and (everywhere or is_left_by_rounded(tensor)) else tensor

    return map_tensors(outputs, changed)


def simulated(net: nn.Module, examples: Example, layers: Int8Layers | None = None) -> Simulated:
    """Returns a network in the place of itself in int8, with the ranges that its activations have for some inputs.

    Args:
        net: in float32, in eval mode.
        examples: training inputs; the first `RANGE_EXAMPLES` are taken.
        layers: those in int8; None: all.
    """
    inputs = as_inputs(examples)
    return Simulated(net, observed(net, [inputs.rows(0, min(len(inputs), RANGE_EXAMPLES))], layers), layers)
