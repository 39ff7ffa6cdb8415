"""Parameter groups for any torch optimizer, and its state as named tensors for a checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.norms import NORMS

# For instance partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, fused=True).
# Fused, a step of 60 parameters takes 0.2 ms of one core instead of 1.1 ms.
OptimizerBuilder = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


def parameter_groups(model: nn.Module, rates: Mapping[str, float] | None = None) -> list[dict[str, Any]]:
    """Returns two groups of parameters: all weights, and norm parameters and biases with no weight decay.

    Args:
        rates: factors on the learning rate by name (see `ofa.train.layer_rates`), each a group of its own with the
            factor as "rate"; `build_optimizer` applies them. None: the same for all.
    """
    plain = {
        parameter
        for module in model.modules()
        for parameter in module.parameters(recurse=False)
        if isinstance(module, NORMS) or parameter.dim() < 2
    }
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in trained if parameter not in plain]},
        {"params": [parameter for parameter in trained if parameter in plain], "weight_decay": 0.0},
    ]
    if rates is not None:
        by_parameter = {parameter: rates[name] for name, parameter in model.named_parameters()}
        groups = [part for group in groups for part in _by_rate(group, by_parameter)]
    return [group for group in groups if group["params"]]


def _by_rate(group: dict[str, Any], rates: Mapping[nn.Parameter, float]) -> list[dict[str, Any]]:
    """The parts of a group whose parameters have one factor each, the highest first."""
    distinct = sorted({rates[parameter] for parameter in group["params"]}, reverse=True)
    return [
        group | {"params": [each for each in group["params"] if rates[each] == rate], "rate": rate} for rate in distinct
    ]


def build_optimizer(
    build: OptimizerBuilder, model: nn.Module, rates: Mapping[str, float] | None = None
) -> torch.optim.Optimizer:
    """Returns the optimizer of a model's parameters, its learning rates times the factors of `parameter_groups`."""
    optimizer = build(parameter_groups(model, rates))
    for group in optimizer.param_groups:
        group["lr"] *= group.pop("rate", 1.0)
    return optimizer


def optimizer_state(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, dict[str, Any]]]:
    """Returns the optimizer's tensors by "parameter/state" name, and its other values by both names."""
    tensors: dict[str, Tensor] = {}
    values: dict[str, dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                tensors[f"{name}/{key}"] = value
            else:
                values.setdefault(name, {})[key] = value
    return tensors, values


def load_optimizer_state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, Tensor],
    values: Mapping[str, Mapping[str, Any]],
) -> None:
    """Puts back what `optimizer_state` returned.

    Raises:
        InvalidInput: the state belongs to parameters that this model does not have, or to other shapes.
    """
    state: dict[str, dict[str, Any]] = {name: dict(entries) for name, entries in values.items()}
    for path, tensor in tensors.items():
        name, _, key = path.rpartition("/")
        state.setdefault(name, {})[key] = tensor
    parameters = dict(model.named_parameters())
    for name, entries in state.items():
        if name not in parameters:
            raise InvalidInput(f"the optimizer state is of a parameter {name!r} that this model does not have")
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.dim() and value.shape != parameters[name].shape:
                shapes = f"{tuple(value.shape)}, the parameter {tuple(parameters[name].shape)}"
                raise InvalidInput(f"the optimizer state {key} of {name!r} has shape {shapes}")
            if isinstance(value, Tensor) and value.dim():  # laid out as the weight is, which fused steps rely on
                entries[key] = torch.empty_like(parameters[name], dtype=value.dtype, device="cpu").copy_(value)
    names = {parameter: name for name, parameter in parameters.items()}
    indexed = {index: state[names[parameter]] for index, parameter in _numbered(optimizer) if names[parameter] in state}
    optimizer.load_state_dict({"state": indexed, "param_groups": optimizer.state_dict()["param_groups"]})


def _numbered(optimizer: torch.optim.Optimizer) -> Iterator[tuple[int, nn.Parameter]]:
    """Parameters with the index that torch gives them in a state_dict: their order over all groups."""
    return enumerate(parameter for group in optimizer.param_groups for parameter in group["params"])
