"""Runs of a model whose layers are measured, or changed, as the data reaches them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs, logits_of
from ofa.modes import in_mode
from ofa.norms import NORMS, BatchNorm
from ofa.prune.initializers.layers import Layer, layers

# (path, layer, input) before a layer runs for the first time.
Arrival: TypeAlias = Callable[[str, Layer, Tensor], None]


@contextmanager
def normalizing(model: nn.Module) -> Iterator[None]:
    """Puts the model in eval mode with batch norm on the batch's own statistics; afterwards everything is restored."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with in_mode(model, training=False):
        for module in model.modules():
            if isinstance(module, BatchNorm):
                module.training = True
        try:
            yield
        finally:
            for module in model.modules():
                module.training = False
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    buffer.copy_(buffers[name])


def run(model: nn.Module, images: Example, arrival: Arrival | None = None) -> Tensor:
    """Returns the model's output; `arrival` may change a layer just before its first call.

    Raises:
        InvalidInput: the model gives several tensors, none named logits.
    """
    paths = {id(layer): path for path, layer in layers(model).items()}
    handles = []
    if arrival is not None:

        def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            path = paths.pop(id(module), None)
            if path is not None:
                with torch.no_grad():
                    arrival(path, module, inputs[0].detach())  # type: ignore[arg-type]

        handles = [layer.register_forward_pre_hook(before) for layer in layers(model).values()]
    try:
        output = as_inputs(images).call(model)
    finally:
        for handle in handles:
            handle.remove()
    return logits_of(output, model)


def on_model(model: nn.Module, images: Example | None, initializer: str) -> Inputs:
    """Returns the images on the model's device, in its precision.

    Raises:
        InvalidInput: fewer than two images, of which no statistics can be taken.
    """
    count = 0 if images is None or (isinstance(images, Tensor) and not len(images)) else as_inputs(images).batch
    if images is None or count < 2:
        raise InvalidInput(f"{initializer} measures on examples: {count} given, it needs 2, better some hundred")
    weight = next(iter(layers(model).values())).weight
    return as_inputs(images).map(
        lambda tensor: tensor.to(weight.device, weight.dtype if tensor.is_floating_point() else tensor.dtype)
    )


@torch.no_grad()
def followed_by_norm(model: nn.Module, images: Example) -> frozenset[str]:
    """Returns the paths of the layers whose output goes into a norm layer as it is: a scale there has no effect."""
    paths = {id(layer): path for path, layer in layers(model).items()}
    outputs: dict[int, tuple[str, Tensor]] = {}  # the tensor is held, so that its id stays its own
    followed: set[str] = set()

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        outputs[id(output)] = (paths[id(module)], output)

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs and id(inputs[0]) in outputs:
            followed.add(outputs[id(inputs[0])][0])

    handles = [layer.register_forward_hook(after) for layer in layers(model).values()]
    handles += [module.register_forward_pre_hook(before) for module in model.modules() if isinstance(module, NORMS)]
    try:
        as_inputs(images).call(model)
    finally:
        for handle in handles:
            handle.remove()
    return frozenset(followed)


def output_of(layer: Layer, inputs: Tensor) -> Tensor:
    """Returns the layer's output (outputs, values), each row one neuron's or filter's over images and positions."""
    output: Tensor = layer.forward(inputs)
    channel = output.dim() - 1 if isinstance(layer, nn.Linear) else 1
    return output.movedim(channel, 0).flatten(1)
