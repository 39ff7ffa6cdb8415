"""Which class a module has in a subnet: its own, or its recipe's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ofa.errors import InvalidInput


def check_recipes(recipes: Mapping[Any, Any]) -> None:
    """Checks that recipes give classes of modules by classes of modules.

    Raises:
        InvalidInput: something else is among them.
    """
    for original, recipe in recipes.items():
        for kind in (original, recipe):
            if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
                raise InvalidInput(
                    f"recipes has {kind!r}; give classes of nn.Module, such as {{MyAttention: ElasticAttention}}"
                )


def apply_recipes(model: nn.Module, recipes: Mapping[type[nn.Module], type[nn.Module]]) -> nn.Module:
    """Returns a private copy of a model after its modules have become those of their recipes, in place."""
    for module in model.modules():
        if type(module) in recipes:
            module.__class__ = recipes[type(module)]
    return model


def planned_class(
    module: nn.Module, recipe: type[nn.Module], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[type[nn.Module], dict[str, Any]]:
    """Returns the class of a module in a subnet that cuts it, and the attributes to set there.

    Args:
        module: of the full model, with the numbers in Python that it has in the subnet. recipe: for its class.
        shapes: what shapes its tensors, and those of its submodules, have in the subnet, by their names.
    """
    rule = getattr(recipe, "original_sizes", None)
    sizes = None if rule is None else rule(module, shapes)
    return (recipe, {}) if sizes is None else (type(module), dict(sizes))
