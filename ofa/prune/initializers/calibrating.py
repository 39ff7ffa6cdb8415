"""Calibration between layers: scales that make all layers learn at the same pace."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from ofa.inputs import Example
from ofa.prune.initializers.layers import Layer, layers, normal
from ofa.prune.initializers.measuring import run

TOLERANCE = 0.01


def gradient_ratios(model: nn.Module, images: Example, top: Tensor, leave: Collection[str] = ()) -> dict[str, float]:
    """Returns sqrt(mean g^2 / mean w^2) by path of each layer, g being its gradient when that of the output is `top`.

    Left out: the paths in `leave`, frozen layers, and those that the output does not depend on. `.grad` stays.
    """
    trainable = {path: layer.weight for path, layer in layers(model).items() if layer.weight.requires_grad}
    trainable = {path: weight for path, weight in trainable.items() if path not in leave}
    if not trainable:
        return {}
    with torch.enable_grad():
        output = run(model, images)
        gradients = torch.autograd.grad(output, list(trainable.values()), top, allow_unused=True)
    ratios = {}
    for (path, weight), gradient in zip(trainable.items(), gradients, strict=True):
        if gradient is not None and bool(gradient.any()) and bool(weight.detach().any()):
            ratio = gradient.double().square().mean() / weight.detach().double().square().mean()
            ratios[path] = math.sqrt(float(ratio))
    return ratios


def calibrate_layers_(
    model: nn.Module, images: Example, generator: torch.Generator, *, rounds: int = 10, leave: Collection[str] = ()
) -> None:
    """Scales layers, in place, until `gradient_ratios` of all but `leave` are equal within 1 %, or `rounds` are over.

    A round multiplies layer l by sqrt(r_l / target), target being the geometric mean of the ratios r. Where layers
    are homogeneous (ReLU) and one follows the other, the scales multiply to 1, so the output stays, and one round is
    enough. Biases follow their layer's scale and the change of its input, so that they keep their part in the sum.
    For other models the target is multiplied by the output's deviation to the power 1 / layers, which pulls the
    output back to deviation 1. The gradient at the output is normal, drawn once.

    Source: Kraehenbuehl et al. 2016, 1511.06856, algorithm 2; the correction is that of its code.
    """
    sizes: dict[str, float] = {}
    with torch.no_grad():
        output = run(model, images, lambda path, layer, inputs: _note(sizes, path, inputs))
    top = normal(tuple(output.shape), generator).to(output)
    deviation = _deviation(output)
    for _ in range(rounds):
        ratios = gradient_ratios(model, images, top, leave)
        if len(ratios) < 2:
            return
        logarithm = sum(map(math.log, ratios.values())) / len(ratios)
        target = math.exp(logarithm) * deviation ** (1 / len(ratios))
        if all(abs(math.log(ratio / target)) < TOLERANCE for ratio in ratios.values()):
            return
        scales = {path: math.sqrt(ratio / target) for path, ratio in ratios.items()}

        def arrival(path: str, layer: Layer, inputs: Tensor, scales: dict[str, float] = scales) -> None:
            scale, before = scales.get(path, 1.0), sizes[path]
            _note(sizes, path, inputs)
            layer.weight.mul_(scale)
            if layer.bias is not None and before > 0:
                layer.bias.mul_(scale * sizes[path] / before)

        with torch.no_grad():
            deviation = _deviation(run(model, images, arrival))


def _note(sizes: dict[str, float], path: str, inputs: Tensor) -> None:
    sizes[path] = float(inputs.double().abs().mean())


def _deviation(output: Tensor) -> float:
    """Mean over the outputs (dimension 1) of their deviation; 1 where they are constant."""
    deviation = float(output.detach().double().movedim(1, 0).flatten(1).std(dim=1, correction=0).mean())
    return deviation if deviation > 0 else 1.0
