"""Weights that a layer computes from other parameters in each forward, as weight and spectral normalization do.

They come from `torch.nn.utils.parametrize`, or from the older hooks of torch that set an attribute before each forward.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

_PARAMETRIZED = re.compile(r"(^|.*\.)parametrizations\.(\w+)\.original\d*$")
_HOOKED = re.compile(r"(.*weight)_(?:orig|v|g|mask)$")


@dataclass(frozen=True)
class ComputedWeight:
    """A tensor that a layer computes.

    Attributes:
        name: of the layer's attribute that it becomes, such as "weight".
        method: what computes it, in words.
        remover: the function of `torch.nn.utils` that makes it a plain parameter; empty where there is none.
        original: the parameter of the same shape that it is computed from, by its name in the layer, such as
            "parametrizations.weight.original1" (weight normalization's directions); None if unknown.
        hook: what computes it before each forward; None for a parametrization.
    """

    name: str
    method: str
    remover: str
    original: str | None
    hook: Any = None


@dataclass(frozen=True)
class _HookKind:
    method: str
    remover: str
    suffix: str
    attribute: str
    compute: Callable[[Any, nn.Module], Tensor]


_HOOKS = {
    ("torch.nn.utils.weight_norm", "WeightNorm"): _HookKind(
        "weight_norm", "remove_weight_norm", "_v", "name", lambda hook, layer: hook.compute_weight(layer)
    ),
    ("torch.nn.utils.spectral_norm", "SpectralNorm"): _HookKind(
        "spectral_norm", "remove_spectral_norm", "_orig", "name", lambda hook, layer: hook.compute_weight(layer, False)
    ),
    ("torch.nn.utils.prune", "BasePruningMethod"): _HookKind(
        "torch.nn.utils.prune", "prune.remove", "_orig", "_tensor_name", lambda hook, layer: hook.apply_mask(layer)
    ),
}


def computed_weights(layer: nn.Module) -> list[ComputedWeight]:
    """Returns the tensors that a layer itself computes, not those of the layers inside it."""
    if not layer._forward_pre_hooks and "parametrizations" not in layer._modules and "weight" not in layer.__dict__:
        return []
    computed = list(_parametrized(layer)) if parametrize.is_parametrized(layer) else []
    for hook in layer._forward_pre_hooks.values():
        if (kind := _kind_of(hook)) is not None:
            name = str(getattr(hook, kind.attribute))
            computed.append(ComputedWeight(name, kind.method, kind.remover, name + kind.suffix, hook))
    if not computed and isinstance(vars(layer).get("weight"), Tensor):
        computed.append(ComputedWeight("weight", "the model's own code", "", None))
    return computed


def recompute_(layer: nn.Module) -> None:
    """Sets the weights that hooks of torch compute to what the layer's parameters are now, without a graph."""
    for weight in computed_weights(layer):
        if weight.hook is not None and (kind := _kind_of(weight.hook)) is not None:
            with torch.no_grad():
                setattr(layer, weight.name, kind.compute(weight.hook, layer).detach())


def change_computed(layer: nn.Module, weight: ComputedWeight, change: Callable[[Tensor], Tensor]) -> Any:
    """Returns the handle of a hook that replaces a computed weight by `change` of it wherever the layer uses it."""
    if weight.hook is None:
        return layer.get_submodule(f"parametrizations.{weight.name}").register_forward_hook(
            lambda _module, _inputs, result: change(result)
        )
    return layer.register_forward_pre_hook(
        lambda module, _inputs: setattr(module, weight.name, change(getattr(module, weight.name)))
    )


def copied(model: nn.Module) -> nn.Module:
    """Returns a deep copy of a model.

    What hooks have computed is part of a graph, which torch does not copy; in the copy they compute it anew.
    """
    memo: dict[int, Any] = {
        id(value): value.detach().clone()
        for layer in model.modules()
        for weight in computed_weights(layer)
        if weight.hook is not None and isinstance(value := vars(layer).get(weight.name), Tensor)
    }
    # Recurrent layers list the weights that they ran with last, computed ones too, and look for new ones at each run.
    for layer in model.modules():
        for value in layer._flat_weights if isinstance(layer, nn.RNNBase) else ():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    twin = copy.deepcopy(model, memo)
    for layer in twin.modules():
        separate_class_(layer)
    return twin


def separate_class_(layer: nn.Module) -> None:
    """Gives a copy of a parametrized layer a class of its own, in place.

    The class of such a layer has its computed weights as properties. `remove_parametrizations` deletes them there, so
    that of two layers of one class the other would break.
    """
    if "parametrizations" in layer._modules and parametrize.is_parametrized(layer):
        kind = type(layer)
        members = {name: value for name, value in vars(kind).items() if name not in ("__dict__", "__weakref__")}
        layer.__class__ = type(kind.__name__, kind.__bases__, members)


def plain_copy(model: nn.Module) -> nn.Module:
    """Returns a deep copy of a model that holds the weights as parameters that parametrizations and hooks compute."""
    return make_plain_(copied(model))


def make_plain_(model: nn.Module) -> nn.Module:
    """Returns the model with the weights that parametrizations and hooks of torch compute as parameters, in place."""
    for layer in list(model.modules()):
        for weight in computed_weights(layer):
            if weight.hook is None and weight.remover:
                parametrize.remove_parametrizations(layer, weight.name, leave_parametrized=True)
            elif weight.hook is not None:
                function: Any = nn.utils
                for part in weight.remover.split("."):
                    function = getattr(function, part)
                function(layer, weight.name)
    return model


def is_inside(path: str) -> bool:
    """Whether a module, given by its path, computes a weight of the layer that holds it."""
    return ".parametrizations." in f".{path}."


def plain_name(parameter: str) -> str:
    """Returns the name that a parameter's layer gives what is computed from it: "conv.weight" for "conv.weight_v"."""
    if match := _PARAMETRIZED.match(parameter):
        return match[1] + match[2]
    match = _HOOKED.match(parameter)
    return match[1] if match else parameter


def _parametrized(layer: nn.Module) -> Iterator[ComputedWeight]:
    for name, chain in layer.get_submodule("parametrizations").named_children():
        kinds = ", ".join(type(step).__name__.strip("_") for step in chain.children())
        originals = [(key, tensor) for key, tensor in chain._parameters.items() if tensor is not None]
        largest = max(originals, key=lambda pair: pair[1].numel(), default=None)
        yield ComputedWeight(
            name,
            f"torch.nn.utils.parametrize ({kinds})",
            "parametrize.remove_parametrizations",
            None if largest is None else f"parametrizations.{name}.{largest[0]}",
        )


def _kind_of(hook: Any) -> _HookKind | None:
    for base in type(hook).__mro__:
        if (kind := _HOOKS.get((base.__module__, base.__name__))) is not None:
            return kind
    return None
