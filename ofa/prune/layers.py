"""A model's layers, found by running it: which parameters make an output, and the norm that the output feeds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from ofa.inputs import Example, as_inputs
from ofa.modes import in_mode
from ofa.norms import NORMS

LAYERS = (nn.Linear, nn.modules.conv._ConvNd)


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer.

    Attributes:
        weight: the name of its weight in `model.named_parameters()`, such as "stem.conv.weight".
        bias: the name of its bias, or None.
        norm: the path of the norm module whose input is exactly this layer's output, or None.
    """

    weight: str
    bias: str | None = None
    norm: str | None = None

    @property
    def module(self) -> str:
        """The path of the layer, such as "stem.conv"."""
        return self.weight.rpartition(".")[0]


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Puts `model` in eval mode; afterwards its mode, its buffers and torch's global RNG are restored.

    Inside, the RNG starts from a fixed seed, so a model that draws in eval mode gives the same output twice.
    """
    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    cuda = [device] if device.type == "cuda" else []
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    with torch.random.fork_rng(devices=cuda), in_mode(model, training=False):
        torch.default_generator.manual_seed(0)
        if cuda:
            torch.cuda.manual_seed(0)
        try:
            yield
        finally:
            with torch.no_grad():
                for name, buffer in model.named_buffers():
                    if name in before:
                        buffer.copy_(before[name])


def find_layers(model: nn.Module, example_input: Example) -> tuple[Layer, ...]:
    """Returns the layers that run on `example_input`, in the order in which they first run.

    A weight that several modules hold is listed once. A norm counts as fed by a layer only where it takes the
    output as it is: with an activation, a reshape or a sum between them, also one made in place, it does not.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    result: dict[str, Layer] = {}
    outputs: dict[int, tuple[Tensor, int, str]] = {}  # holds the outputs, so that no id is used twice

    def after_layer(module: nn.Module, args: tuple[object, ...], output: object) -> None:
        weight = names.get(id(module.weight))
        if weight is not None and isinstance(output, Tensor):
            result.setdefault(weight, Layer(weight, names.get(id(module.bias))))
            outputs[id(output)] = (output, output._version, weight)

    def before_norm(path: str, normalized: object) -> None:
        output, version, weight = outputs.get(id(normalized), (None, 0, ""))
        if output is not None and output._version == version and result[weight].norm is None:
            result[weight] = replace(result[weight], norm=path)

    device = next((tensor.device for tensor in model.parameters()), torch.device("cpu"))
    with ExitStack() as stack:
        for path, module in model.named_modules():
            if isinstance(module, LAYERS):
                stack.callback(module.register_forward_hook(after_layer).remove)
            elif isinstance(module, NORMS):

                def hook(_: nn.Module, args: tuple[object, ...], path: str = path) -> None:
                    if args:
                        before_norm(path, args[0])

                stack.callback(module.register_forward_pre_hook(hook).remove)
        with undisturbed(model), torch.no_grad():
            as_inputs(example_input).to(device).call(model)
    return tuple(result.values())
