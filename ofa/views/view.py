"""Views: the supernet's own module tree, copied shallowly, with slices of its parameters inside.

A view is made of the original classes. It shares storage with the supernet, owns its norm statistics, leaves
out the blocks that its Arch drops, and changes nothing in the supernet.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.kernel_transforms import is_kernel_transform
from ofa.recipes import Recipes, planned_class
from ofa.structure.passing import LeftOut, pass_through
from ofa.structure.size_attributes import set_integers
from ofa.structure.structure import tensor_names
from ofa.views.attributes import listed_weights, sliced_attributes
from ofa.views.plan import Slice

Borrow = Callable[[Tensor, Slice], Tensor]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class ModulePlan:
    """How one module is copied: slices by tensor name, attributes to set, children by their (new) names.

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
        whole = all(piece.is_whole for piece in slices.values())
        attributes = {} if whole else sliced_attributes(module, {name: piece.shape for name, piece in slices.items()})
        kind: type[nn.Module] = type(module)
        sizes: dict[str, Any] = {}
        if kind in recipes:
            inner = {name: cut(names[f"{path}.{name}" if path else name]) for name in tensor_names(module)}
            if not all(piece.is_whole for piece in inner.values()):
                kind, sizes = planned_class(module, recipes[kind], {name: piece.shape for name, piece in inner.items()})
        kept, aside = children(module, path)
        memo[id(module)] = plan = ModulePlan(
            module,
            slices,
            {**attributes, **sizes},
            tuple(kept),
            tuple(lists.get(path, ())),
            numbers.get(path, {}),
            kind,
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

    return visit(model, "")


def build(plan: ModulePlan, parameter: Borrow, buffer: Borrow) -> nn.Module:
    """Returns the module tree of a plan; `parameter` and `buffer` say how a tensor is borrowed.

    Modules and tensors that the supernet shares are shared in the copy.
    """
    modules: dict[int, nn.Module] = {}
    tensors: dict[int, Tensor] = {}

    def borrow(
        originals: Mapping[str, Tensor | None], slices: Mapping[str, Slice], borrow_tensor: Borrow
    ) -> dict[str, Tensor | None]:
        result = {name: tensor for name, tensor in originals.items() if not is_kernel_transform(name)}
        for name, tensor in result.items():
            if tensor is not None:
                borrowed = tensors.get(id(tensor))
                if borrowed is None:
                    borrowed = tensors[id(tensor)] = borrow_tensor(tensor, slices[name])
                result[name] = borrowed
        return result

    def copy(plan: ModulePlan) -> nn.Module:
        existing = modules.get(id(plan.module))
        if existing is not None:
            return existing
        clone = object.__new__(plan.kind)
        modules[id(plan.module)] = clone
        state = clone.__dict__
        state.update(plan.module.__dict__)
        state["_parameters"] = borrow(plan.module._parameters, plan.slices, parameter)
        state["_buffers"] = borrow(plan.module._buffers, plan.slices, buffer)
        state["_modules"] = {name: None if child is None else copy(child) for name, child in plan.children}
        state.pop("_compiled_call_impl", None)  # of Module.compile(): it would run the supernet's module
        for name in _HOOKS:  # a hook that is put on the copy must not reach the supernet
            state[name] = state[name].copy()
        state.update(plan.attributes)
        state.update(listed_weights(clone))
        set_integers(clone, plan.numbers)
        for name in plan.holders:
            state[name] = _remap(state[name], modules, copies)
        return clone

    plans = _walk(plan)
    copies = {id(part.replaces or part.module): part for part in plans} if any(p.holders for p in plans) else {}

    def _remap(value: Any, done: dict[int, nn.Module], plans: dict[int, ModulePlan]) -> Any:
        if isinstance(value, nn.Module):
            return copy(plans[id(value)]) if id(value) in plans else nn.Identity()
        if isinstance(value, dict):
            return type(value)((key, _remap(item, done, plans)) for key, item in value.items())
        if isinstance(value, MethodType):
            return MethodType(value.__func__, _remap(value.__self__, done, plans))
        if isinstance(value, functools.partial):
            function, *others = (_remap(part, done, plans) for part in (value.func, value.args, value.keywords))
            return functools.partial(function, *others[0], **others[1])
        if isinstance(value, (list, tuple)):
            return type(value)(_remap(item, done, plans) for item in value)
        return value

    return copy(plan)


def _walk(plan: ModulePlan) -> list[ModulePlan]:
    plans = [plan, *plan.aside]
    for _, child in plan.children:
        if child is not None:
            plans += _walk(child)
    return plans


def differentiable(tensor: Tensor, cut: Slice) -> Tensor:
    """A slice inside the autograd graph of the supernet's parameter; the parameter itself where it is whole."""
    return tensor if cut.is_whole else cut(tensor)


def contiguous_slice(tensor: Tensor, cut: Slice) -> Tensor:
    """A slice as `differentiable` makes it, copied once where it is not contiguous (kernels would copy each time)."""
    return differentiable(tensor, cut).contiguous()


def accumulating(tensor: Tensor, cut: Slice) -> Tensor:
    """A leaf whose `.grad` is a slice of the parameter's: backward adds into the supernet. Call without grad mode.

    Raises:
        InvalidInput: the parameter has no gradient tensor yet.
    """
    if cut.is_whole or not tensor.requires_grad:
        return tensor if cut.is_whole else cut(tensor)
    if tensor.grad is None:
        raise InvalidInput("accumulate=True adds into gradients that exist: give every parameter a zero .grad first")
    if cut.gathers or cut.transform is not None:
        with torch.enable_grad():
            return cut(tensor)
    leaf = cut(tensor.detach()).requires_grad_()
    leaf.grad = cut(tensor.grad)
    return leaf


@functools.cache
def suppress_layout_warning() -> None:
    """Triggers, unseen, torch's once-per-process warning that a gradient slice has another layout than a new one.

    That layout is intended (backward adds in place), and users could not act on the warning.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        leaf = torch.zeros(2, 4)[:, :2].requires_grad_()
        leaf.grad = torch.zeros(2, 4)[:, :2]
        with torch.enable_grad():
            torch.autograd.backward((leaf * 1.0).sum())


def cloned_parameter(tensor: Tensor, cut: Slice) -> Tensor:
    """A parameter of its own."""
    return nn.Parameter(cut(tensor.detach()).detach().clone(), requires_grad=tensor.requires_grad)


def cloned(tensor: Tensor, cut: Slice) -> Tensor:
    """A buffer of its own."""
    return cut(tensor.detach()).clone()
