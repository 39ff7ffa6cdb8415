"""Plans of views: how each module of the supernet is copied, computed once for each Arch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import nn

from ofa.computed_weights import computed_weights, is_inside
from ofa.kernel_transforms import is_kernel_transform
from ofa.recipes import Recipes, planned_class
from ofa.structure.passing import LeftOut, pass_through
from ofa.structure.size_attributes import with_integers
from ofa.structure.structure import tensor_names
from ofa.views.attributes import sliced_attributes
from ofa.views.plan import Slice


@dataclass(frozen=True)
class ModulePlan:
    """How one module is copied: slices by tensor name, attributes to set, children by their (new) names.

    `is_whole` says whether its own tensors, and the weights that it computes, stay as they are; `computes` whether it,
    or a module inside it, computes weights or is part of that.
    `replaces` is the block that a module stands for; `aside` are such modules whose blocks have left their list, for
    plain attributes that hold them. Tensors are looked up in `module` when a view is built, so moving or converting
    the supernet takes effect.
    """

    module: nn.Module
    slices: Mapping[str, Slice]
    attributes: Mapping[str, Any]
    children: tuple[tuple[str, ModulePlan | None], ...]
    holders: tuple[str, ...]
    numbers: Mapping[str, int]
    kind: type[nn.Module]
    is_whole: bool = True
    computes: bool = False
    replaces: nn.Module | None = None
    aside: tuple[ModulePlan, ...] = ()


def plan_module(
    model: nn.Module,
    names: Mapping[str, str],
    cut: Callable[[str], Slice],
    dropped: Mapping[str, LeftOut],
    lists: Mapping[str, Sequence[str]],
    numbers: Mapping[str, Mapping[str, int]],
    recipes: Recipes,
    operators: Mapping[str, str] = MappingProxyType({}),
) -> ModulePlan:
    """Returns the plan of a whole model.

    Args:
        model: the supernet's module tree.
        names: the first name of each tensor by each of its names.
        cut: a tensor's first name -> its slice.
        dropped: the blocks to leave out by path.
        lists: by module path, the attributes that hold modules in plain lists.
        recipes: classes of modules that are cut, by their own classes (see `ofa.recipes`).
        numbers: by module path and dotted name, integers to set (see `ofa.structure.size_attributes`).
        operators: by path of a `OneOf`, the name of the layer that takes its place.
    """
    memo: dict[int, ModulePlan] = {}

    def visit(module: nn.Module, path: str) -> ModulePlan:
        if id(module) in memo:
            return memo[id(module)]
        slices = {
            name: cut(names[f"{path}.{name}" if path else name])
            for tensors in (module._parameters, module._buffers)
            for name, tensor in tensors.items()
            if tensor is not None and not is_kernel_transform(name)
        }
        seen = dict(slices)  # by the layer's forward: its tensors, and the weights that it computes from some
        computed = computed_weights(module)
        for weight in computed:
            if weight.original is not None:
                seen[weight.name] = cut(names[f"{path}.{weight.original}" if path else weight.original])
        whole = all(piece.is_whole for piece in seen.values())
        attributes = {} if whole else sliced_attributes(module, {name: piece.shape for name, piece in seen.items()})
        kind: type[nn.Module] = type(module)
        sizes: dict[str, Any] = {}
        if kind in recipes:
            inner = {name: cut(names[f"{path}.{name}" if path else name]) for name in tensor_names(module)}
            if not all(piece.is_whole for piece in inner.values()):
                shapes = {name: piece.shape for name, piece in inner.items()}
                kind, sizes = planned_class(with_integers(module, numbers.get(path, {})), recipes[kind], shapes)
        planned, aside = children(module, path)
        memo[id(module)] = plan = ModulePlan(
            module,
            slices,
            {**attributes, **sizes},
            tuple(planned),
            tuple(lists.get(path, ())),
            numbers.get(path, {}),
            kind,
            whole,
            bool(computed) or is_inside(path) or any(child.computes for _, child in planned if child is not None),
            aside=tuple(aside),
        )
        return plan

    def children(module: nn.Module, path: str) -> tuple[list[tuple[str, ModulePlan | None]], list[ModulePlan]]:
        result: list[tuple[str, ModulePlan | None]] = []
        aside: list[ModulePlan] = []
        ordered = isinstance(module, (nn.Sequential, nn.ModuleList))
        for name, child in module._modules.items():
            full = f"{path}.{name}" if path else name
            # A shorter list renumbers its blocks, as if it had been built with fewer.
            new_name = str(len(result)) if ordered and name.isdigit() else name
            if child is None:
                result.append((name, None))
            elif full in dropped:
                module_instead = pass_through(child, dropped[full].passing)
                stand_in = ModulePlan(module_instead, {}, {}, (), (), {}, type(module_instead), replaces=child)
                if ordered and dropped[full].leaves_list:
                    aside.append(stand_in)
                else:
                    result.append((new_name, stand_in))
            else:
                while full in operators:  # a layer of an operator may be an operator itself
                    full = f"{full}.options.{operators[full]}"
                result.append((new_name, visit(model.get_submodule(full), full)))
        return result, aside

    try:
        return visit(model, "")
    finally:
        visit = None  # type: ignore[assignment]  # it refers to itself, and would keep the model
