"""Layers of torch.nn as source: the constructor call that makes a layer like them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from keyword import iskeyword
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput


def value_text(value: Any, special: Callable[[Any], str | None] = lambda value: None) -> str:
    """Returns the source of a value; `special` is called first for every part of it and may return None.

    Raises:
        InvalidInput: a value that cannot be written as source, such as an object of the user's own class.
    """
    if (text := special(value)) is not None:
        return text
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if value is None or value is Ellipsis or type(value) in (bool, int, float, str):
        return "..." if value is Ellipsis else repr(value)
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return str(value)
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    if isinstance(value, slice):
        return f"slice({', '.join(value_text(part, special) for part in (value.start, value.stop, value.step))})"
    if isinstance(value, tuple):
        parts = [value_text(part, special) for part in value]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    if isinstance(value, list):
        return f"[{', '.join(value_text(part, special) for part in value)}]"
    if isinstance(value, Mapping):
        items = (f"{value_text(key, special)}: {value_text(item, special)}" for key, item in value.items())
        return f"{{{', '.join(items)}}}"
    raise InvalidInput(f"a value of type {type(value).__name__} cannot be written as source")


def is_name(text: str) -> bool:
    """Whether `text` can stand as a name in source."""
    return text.isidentifier() and not iskeyword(text)


def keywords_text(arguments: Mapping[str, str]) -> str:
    """Returns keyword arguments, given as source, as written in a call; invalid names are passed by a mapping."""
    plain = [f"{name}={text}" for name, text in arguments.items() if is_name(name)]
    other = [f"{name!r}: {text}" for name, text in arguments.items() if not is_name(name)]
    return ", ".join(plain + ([f"**{{{', '.join(other)}}}"] if other else []))


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def layer_text(layer: nn.Module) -> str | None:
    """Returns the call, such as "nn.Conv2d(3, 16, kernel_size=3)", that makes a layer like this one.

    None for what is not a layer of torch.nn, and where the call would not give the same settings, shapes and names: the
    layer is made from its attributes and compared.
    """
    kind = type(layer)
    if isinstance(layer, CONTAINERS) or getattr(nn, kind.__name__, None) is not kind:
        return None
    for compact in (True, False):
        positional, named = _arguments(layer, compact)
        if _makes(layer, positional, named):
            for name in reversed(tuple(named)):  # a redundant argument may be unknown to other versions of torch
                fewer = {key: value for key, value in named.items() if key != name}
                named = fewer if _makes(layer, positional, fewer) else named
            texts = [value_text(value) for value in positional]
            texts += [f"{name}={value_text(value)}" for name, value in named.items()]
            return f"nn.{kind.__name__}({', '.join(texts)})"
    return None


def _makes(layer: nn.Module, positional: Sequence[Any], named: Mapping[str, Any]) -> bool:
    """Whether the layer's class makes a layer like it from these arguments."""
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            return _is_like(layer, type(layer)(*positional, **named))
    except Exception:  # a layer that its attributes do not reproduce may raise anything
        return False


def _arguments(layer: nn.Module, compact: bool) -> tuple[list[Any], dict[str, Any]]:
    """The constructor's arguments from the layer's attributes of the same names, without default values."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(type(layer)).parameters.items():
        if name.startswith("_") or name in ("device", "dtype") or not hasattr(layer, name):
            continue
        value = getattr(layer, name)
        if isinstance(value, Tensor) or (name == "bias" and value is None):
            value = value is not None
        if compact and isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1:
            value = value[0]
        if parameter.default is inspect.Parameter.empty and not named:
            positional.append(value)
        elif parameter.default is inspect.Parameter.empty or value != parameter.default:
            named[name] = value
    return positional, named


def _is_like(layer: nn.Module, other: nn.Module) -> bool:
    """Whether two layers have the same settings, and tensors of the same shapes and types under the same names."""
    if type(layer) is not type(other) or layer._modules.keys() != other._modules.keys():
        return False
    for name, value in vars(other).items():
        if name == "training" or (name.startswith("_") and name != "_reversed_padding_repeated_twice"):
            continue
        if name not in vars(layer) or not _is_same(vars(layer)[name], value):
            return False
    for tensors, other_tensors in ((layer._parameters, other._parameters), (layer._buffers, other._buffers)):
        if {name: _form(tensor) for name, tensor in tensors.items()} != {
            name: _form(tensor) for name, tensor in other_tensors.items()
        }:
            return False
    if layer._non_persistent_buffers_set != other._non_persistent_buffers_set:
        return False
    return all(
        (child is None and other._modules[name] is None)
        or (child is not None and other._modules[name] is not None and _is_like(child, other._modules[name]))  # type: ignore[arg-type]
        for name, child in layer._modules.items()
    )


def _is_same(first: Any, second: Any) -> bool:
    return bool(first is second or (type(first) is type(second) and first == second))


def _form(tensor: Tensor | None) -> tuple[Any, ...] | None:
    return None if tensor is None else (tuple(tensor.shape), tensor.dtype)
