"""Views: the supernet's own module tree, copied shallowly, with slices of its parameters inside.

A view is made of the original classes. It shares storage with the supernet, owns its norm statistics, leaves
out the blocks that its Arch drops, and changes nothing in the supernet.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ofa.attributes import sliced_attributes
from ofa.errors import InvalidInput
from ofa.plan import Slice

Borrow = Callable[[Tensor, Slice], Tensor]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class ModulePlan:
    """How one module is copied: slices by tensor name, attributes to set, children by their (new) names.

    Tensors are looked up in `module` when a view is built, so moving or converting the supernet is seen.
    """

    module: nn.Module
    slices: Mapping[str, Slice]
    attributes: Mapping[str, Any]
    children: tuple[tuple[str, ModulePlan | None], ...]
    holders: tuple[str, ...]


def plan_module(
    model: nn.Module,
    names: Mapping[str, str],
    cut: Callable[[str], Slice],
    dropped: frozenset[str],
    lists: Mapping[str, Sequence[str]],
) -> ModulePlan:
    """Returns the plan of a whole model.

    Args:
        model: the supernet's module tree.
        names: the first name of each tensor by each of its names.
        cut: a tensor's first name -> its slice.
        dropped: paths of blocks to leave out.
        lists: by module path, the attributes that hold modules in plain lists.
    """
    memo: dict[int, ModulePlan] = {}

    def visit(module: nn.Module, path: str) -> ModulePlan:
        if id(module) in memo:
            return memo[id(module)]
        slices = {
            name: cut(names[f"{path}.{name}" if path else name])
            for tensors in (module._parameters, module._buffers)
            for name, tensor in tensors.items()
            if tensor is not None
        }
        whole = all(found.is_whole for found in slices.values())
        shapes = {name: found.shape for name, found in slices.items()}
        attributes = {} if whole else sliced_attributes(module, shapes)
        memo[id(module)] = plan = ModulePlan(
            module, slices, attributes, tuple(children(module, path)), tuple(lists.get(path, ()))
        )
        return plan

    def children(module: nn.Module, path: str) -> list[tuple[str, ModulePlan | None]]:
        result: list[tuple[str, ModulePlan | None]] = []
        ordered = isinstance(module, (nn.Sequential, nn.ModuleList))
        for name, child in module._modules.items():
            full = f"{path}.{name}" if path else name
            if full in dropped and ordered:
                continue
            if child is None:
                result.append((name, None))
            elif full in dropped:
                result.append((name, _identity_plan()))
            else:
                # A shorter list counts its blocks anew, as one that was built so short would.
                result.append((str(len(result)) if ordered and name.isdigit() else name, visit(child, full)))
        return result

    return visit(model, "")


def _identity_plan() -> ModulePlan:
    return ModulePlan(nn.Identity(), {}, {}, (), ())


def build(plan: ModulePlan, parameter: Borrow, buffer: Borrow) -> nn.Module:
    """Returns the module tree of a plan; `parameter` and `buffer` say how a tensor is borrowed.

    Modules and tensors that the supernet shares are shared in the copy.
    """
    modules: dict[int, nn.Module] = {}
    tensors: dict[int, Tensor] = {}

    def borrow(own: Mapping[str, Tensor | None], slices: Mapping[str, Slice], how: Borrow) -> dict[str, Tensor | None]:
        result = dict(own)
        for name, tensor in own.items():
            if tensor is not None:
                made = tensors.get(id(tensor))
                if made is None:
                    made = tensors[id(tensor)] = how(tensor, slices[name])
                result[name] = made
        return result

    def copy(plan: ModulePlan) -> nn.Module:
        found = modules.get(id(plan.module))
        if found is not None:
            return found
        clone = object.__new__(type(plan.module))
        modules[id(plan.module)] = clone
        state = clone.__dict__
        state.update(plan.module.__dict__)
        state["_parameters"] = borrow(plan.module._parameters, plan.slices, parameter)
        state["_buffers"] = borrow(plan.module._buffers, plan.slices, buffer)
        state["_modules"] = {name: None if child is None else copy(child) for name, child in plan.children}
        for name in _HOOKS:  # a hook that is put on the copy must not reach the supernet
            state[name] = state[name].copy()
        state.update(plan.attributes)
        for name in plan.holders:
            state[name] = _rehouse(state[name], modules, copies)
        return clone

    copies = {id(child.module): child for child in _walk(plan)} if any(p.holders for p in _walk(plan)) else {}

    def _rehouse(value: Any, done: dict[int, nn.Module], plans: dict[int, ModulePlan]) -> Any:
        if isinstance(value, nn.Module):
            return copy(plans[id(value)]) if id(value) in plans else nn.Identity()
        if isinstance(value, dict):
            return type(value)((key, _rehouse(item, done, plans)) for key, item in value.items())
        if isinstance(value, (list, tuple)):
            return type(value)(_rehouse(item, done, plans) for item in value)
        return value

    return copy(plan)


def _walk(plan: ModulePlan) -> list[ModulePlan]:
    found = [plan]
    for _, child in plan.children:
        if child is not None:
            found += _walk(child)
    return found


def module_lists(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Returns by path which plain attributes (lists, tuples, dictionaries, references) hold the model's own modules."""
    own = {id(module) for module in model.modules()}

    def holds(value: Any) -> bool:
        if isinstance(value, nn.Module):
            return id(value) in own
        if isinstance(value, dict):
            return any(holds(item) for item in value.values())
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


# -- ways to borrow ---------------------------------------------------------------------------


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
    if cut.gathers:
        with torch.enable_grad():
            return cut(tensor)
    leaf = cut(tensor.detach()).requires_grad_()
    leaf.grad = cut(tensor.grad)
    return leaf


@functools.cache
def hush_layout_notice() -> None:
    """Takes torch's once-a-process notice that a gradient which is a slice is not laid out like a new one.

    That layout is the point here (it adds in place), and nobody could act on the notice.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        leaf = torch.zeros(2, 4)[:, :2].requires_grad_()
        leaf.grad = torch.zeros(2, 4)[:, :2]
        with torch.enable_grad():
            torch.autograd.backward((leaf * 1.0).sum())


def cloned_parameter(tensor: Tensor, cut: Slice) -> Tensor:
    """A parameter of its own."""
    return nn.Parameter(cut(tensor.detach()).clone(), requires_grad=tensor.requires_grad)


def cloned(tensor: Tensor, cut: Slice) -> Tensor:
    """A buffer of its own."""
    return cut(tensor.detach()).clone()
