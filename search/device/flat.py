"""Networks with tensors alone going in and out, in order and by name: what files and runtimes know of a call."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.inputs import Example, Inputs, as_inputs, named_outputs
from ofa.modes import in_mode, op_by_op

INPUT, OUTPUT = "input", "logits"  # of a network that takes one tensor and returns one

# An input as a runtime takes it: an array, or arrays by name where a network takes several.
Arrays = np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]


def named_inputs(net: nn.Module, example: Example) -> dict[str, Tensor]:
    """Returns the tensors that a network gets, by the names of its forward's arguments; "input" for one alone.

    A tensor inside another argument is named after the way to it: "past.0.key".
    """
    inputs = as_inputs(example)
    if inputs.only is not None:
        return {INPUT: inputs.only}
    first = [name for name, _ in _parameters(net)]
    names = {}
    for name, tensor in inputs.tensors().items():
        position, _, rest = name.partition(".")
        if position.isdigit() and position not in inputs.kwargs:
            number = int(position)
            position = first[number] if number < len(first) else f"{INPUT}_{number}"
        names[f"{position}.{rest}" if rest else position] = tensor
    return names


def _parameters(net: nn.Module) -> list[tuple[str, inspect.Parameter]]:
    """The named positional arguments of a forward."""
    try:
        parameters = inspect.signature(net.forward).parameters
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [(name, parameter) for name, parameter in parameters.items() if parameter.kind in kinds]


def output_names(output: Any, taken: Any = ()) -> list[str]:
    """Returns the names of an output's tensors: its keys and fields, "output_0" and so on in a tuple, or "logits".

    Args:
        output: as the network returns it.
        taken: names of inputs, which an output of the same name is told apart from by "_out".
    """
    named = named_outputs(output)
    if len(named) == 1 and (next(iter(named)) in ("", "0")):
        return [OUTPUT]
    names = [f"output_{name}" if name.split(".")[0].isdigit() else name for name in named]
    return [f"{name}_out" if name in taken else name for name in names]


def output_by_name(output: Any, taken: Any = ()) -> dict[str, Tensor]:
    """Returns an output's tensors by `output_names`."""
    return dict(zip(output_names(output, taken), named_outputs(output).values(), strict=True))


def run(net: nn.Module, example: Example) -> Any:
    """Returns the output of a network in eval mode without gradients, on its own device."""
    with in_mode(net, training=False), torch.no_grad(), op_by_op():
        return as_inputs(example).call(net)


class Flat(nn.Module):
    """A network that takes the tensors of its inputs in order and returns those of its output as a tuple.

    What else the network is given, numbers and None, is fixed.
    """

    def __init__(self, network: nn.Module, inputs: Inputs) -> None:
        super().__init__()
        self.network = network
        self._inputs = inputs

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """Returns the output's tensors."""
        args, kwargs = self._inputs.filled(tensors)
        return tuple(named_outputs(self.network(*args, **kwargs)).values())


@dataclass(frozen=True, eq=False)
class FlatNetwork:
    """What an exporter takes.

    Attributes:
        net: on the CPU, in eval mode; its forward takes `inputs` in order.
        inputs, outputs: by name; of the example.
        batched: the names of those whose first dimension is that of the examples.
    """

    net: nn.Module
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]
    batched: frozenset[str]


def flattened(net: nn.Module, example: Example) -> FlatNetwork:
    """Returns a network as exporters take it; `net` itself where it takes one tensor and returns one."""
    inputs = as_inputs(example).to("cpu")
    named = named_inputs(net, inputs)
    output = run(net, inputs)
    outputs = output_by_name(output, named)
    plain = inputs.only is not None and isinstance(output, Tensor)
    batched = {name for name, tensor in named.items() if inputs.is_batched(tensor)}
    batched |= {name for name, tensor in outputs.items() if inputs.is_batched(tensor)}
    return FlatNetwork(net if plain else Flat(net, inputs).eval(), named, outputs, frozenset(batched))


def arrays_of(net: nn.Module, example: Example) -> Arrays:
    """Returns an example as the loaders of runtimes take it."""
    named = {name: tensor.detach().cpu().numpy() for name, tensor in named_inputs(net, example).items()}
    return named[INPUT] if list(named) == [INPUT] else named


def first_shape(inputs: Inputs) -> tuple[int, ...]:
    """Returns the shape of the first batched tensor, by which records describe an input."""
    return next(tuple(tensor.shape) for tensor in inputs.tensors().values() if inputs.is_batched(tensor))


def answer_of(outputs: Any, examples: int) -> Tensor:
    """Returns the only tensor of a network's outputs, or that named `logits`; else all of them side by side.

    That is (N, 1, numbers): of each example the numbers of all tensors that have a row for each.
    """
    if isinstance(outputs, Tensor):
        return outputs
    named = named_outputs(outputs)
    if "logits" in named:
        return named["logits"]
    tensors = [tensor for tensor in named.values() if tensor.dim() and len(tensor) == examples]
    return tensors[0] if len(named) == 1 else torch.cat([tensor.flatten(1).float() for tensor in tensors], 1)[:, None]
