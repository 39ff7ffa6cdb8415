"""Views: the supernet's own module tree, copied shallowly, with slices of its parameters inside.

A view is made of the original classes. It shares storage with the supernet, owns its norm statistics, leaves
out the blocks that its Arch drops, and changes nothing in the supernet.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from ofa.computed_weights import recompute_, separate_class_
from ofa.errors import InvalidInput
from ofa.kernel_transforms import is_kernel_transform
from ofa.structure.size_attributes import set_integers
from ofa.views.attributes import listed_weights
from ofa.views.module_plan import ModulePlan
from ofa.views.plan import Slice

Borrow = Callable[[Tensor, Slice], Tensor]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


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
        # Sums over a slice give the same bits in a view and in an extracted copy only if both lie in memory alike.
        alike = contiguous_slice if plan.computes and parameter is differentiable else parameter
        state["_parameters"] = borrow(plan.module._parameters, plan.slices, alike)
        state["_buffers"] = borrow(plan.module._buffers, plan.slices, buffer)
        state["_modules"] = {name: None if child is None else copy(child) for name, child in plan.children}
        state.pop("_compiled_call_impl", None)  # of Module.compile(): it would run the supernet's module
        for name in _HOOKS:  # a hook that is put on the copy must not reach the supernet
            state[name] = state[name].copy()
        state.update(plan.attributes)
        state.update(listed_weights(clone))
        set_integers(clone, plan.numbers)
        if plan.computes:
            recompute_(clone)
            if parameter is cloned_parameter:
                separate_class_(clone)
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

    try:
        return copy(plan)
    finally:
        copy = _remap = None  # type: ignore[assignment]  # they refer to themselves, and would keep the copy


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
