"""Modules that a model holds in plain attributes, where `named_modules` does not see them."""

from __future__ import annotations

import functools
from types import MethodType
from typing import Any

from torch import nn


def module_lists(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Returns by path which plain attributes hold the model's own modules.

    Such are lists, tuples, dictionaries, references, and methods bound to a module: a `forward` set on the instance, or
    a hook that is a method of the model, which must work on the copy.
    """
    module_ids = {id(module) for module in model.modules()}

    def holds(value: Any) -> bool:
        if isinstance(value, nn.Module):
            return id(value) in module_ids
        if isinstance(value, dict):
            return any(holds(item) for item in value.values())
        if isinstance(value, MethodType):
            return holds(value.__self__)
        if isinstance(value, functools.partial):
            return holds(value.func) or holds(value.args) or holds(value.keywords)
        return isinstance(value, (list, tuple)) and any(holds(item) for item in value)

    result = {}
    for path, module in model.named_modules():
        names = tuple(
            name
            for name, value in module.__dict__.items()
            if name not in ("_modules", "_parameters", "_buffers") and holds(value)
        )
        if names:
            result[path] = names
    return result
