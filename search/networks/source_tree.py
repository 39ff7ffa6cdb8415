"""The tree of a network's layers as source: the body of a constructor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from search.networks.source_layers import is_name, layer_text

INDENT = "    "
LARGEST_LITERAL = 256  # numbers of a tensor that no file holds


@dataclass(frozen=True)
class Tree:
    """The source of a constructor.

    Attributes:
        lines: its statements, without the indent of its body.
        leaves: paths of the layers that one call of torch.nn makes.
        needs_part: whether one of the modules only holds others by name.
        paths: the expression of every module and tensor by its path, such as "self.stages[0].conv".
    """

    lines: tuple[str, ...]
    leaves: frozenset[str]
    needs_part: bool
    paths: Mapping[str, str]


@dataclass
class _Builder:
    """The state of the walk over the tree."""

    modules: dict[int, str] = field(default_factory=dict)  # the first path of each
    tensors: dict[int, str] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)
    ties: list[str] = field(default_factory=list)
    leaves: set[str] = field(default_factory=set)
    needs_part: bool = False

    def children(self, module: nn.Module, path: str) -> dict[str, list[str]]:
        """The lines that make each module and tensor that `module` holds, by name."""
        members: dict[str, list[str]] = {}
        for name, child in module._modules.items():
            members[name] = ["None"] if child is None else self.module(child, _join(path, name))
        for name, parameter in module._parameters.items():
            full = _join(path, name)
            if parameter is None:
                members[name] = ["None"]
            elif not self._tied(parameter, full):
                trained = "" if parameter.requires_grad else ", requires_grad=False"
                members[name] = [f"nn.Parameter({_empty(parameter)}{trained})"]
        for name, buffer in module._buffers.items():
            if buffer is None:
                members[name] = ["None"]
            elif name in module._non_persistent_buffers_set:
                members[name] = [f"nn.Buffer({_literal(buffer, _join(path, name))}, persistent=False)"]
            else:
                members[name] = [f"nn.Buffer({_empty(buffer)})"]
        return members

    def module(self, module: nn.Module, path: str) -> list[str]:
        """The lines of one module's expression."""
        if (first := self.modules.setdefault(id(module), path)) != path:
            self.ties.append(f"{self.paths[path]} = {self.paths[first]}")
            for name, _ in [*module.named_modules(), *module.named_parameters(), *module.named_buffers()]:
                self.paths[_join(path, name)] = self.paths[_join(first, name)]
            return ["nn.Identity()"]
        if (text := layer_text(module)) is not None:
            self.leaves.add(path)
            for name, parameter in module.named_parameters():
                self.paths[_join(path, name)] = f"{self.paths[path]}.{name}"
                self._tied(parameter, _join(path, name))
            return [text]
        names = list(module._modules)
        plain = not module._parameters and not module._buffers
        as_list = bool(names) and plain and names == [str(index) for index in range(len(names))]
        self._name_children(module, path, as_list)
        members = self.children(module, path)
        if as_list:
            inner = [line for lines in members.values() for line in _with_end(lines, ",")]
            return ["nn.ModuleList(", f"{INDENT}[", *_indented(inner, 2), f"{INDENT}]", ")"]
        self.needs_part = True
        if not members:
            return ["Part()"]
        inner = []
        for name, lines in members.items():
            if is_name(name):
                inner += _with_end([f"{name}={lines[0]}", *lines[1:]], ",")
            else:
                inner += _with_end([f"**{{{name!r}: {lines[0]}", *lines[1:-1], *lines[1:][-1:]], "},")
        return ["Part(", *_indented(inner), ")"]

    def _name_children(self, module: nn.Module, path: str, as_list: bool) -> None:
        here = self.paths[path]
        for name in [*module._modules, *module._parameters, *module._buffers]:
            plain = f"{here}.{name}" if is_name(name) else f"getattr({here}, {name!r})"
            self.paths[_join(path, name)] = f"{here}[{name}]" if as_list else plain

    def _tied(self, tensor: Tensor, path: str) -> bool:
        first = self.tensors.setdefault(id(tensor), path)
        if first != path:
            self.ties.append(f"{self.paths[path]} = {self.paths[first]}")
        return first != path


def tree_source(net: nn.Module) -> Tree:
    """Returns the constructor of a network's tree; every layer and tensor keeps its name.

    Shared layers and tensors are shared in it.

    Raises:
        InvalidInput: a tensor that is not in the state_dict and too large for source.
    """
    builder = _Builder(paths={"": "self"})
    lines: list[str] = []
    builder.modules[id(net)] = ""
    if (text := layer_text(net)) is not None:
        raise InvalidInput(f"{text} is a single layer: use it as it is")
    builder._name_children(net, "", False)
    for name, member in builder.children(net, "").items():
        if is_name(name):
            lines += [f"self.{name} = {member[0]}", *member[1:]]
        else:
            lines += _with_end([f"setattr(self, {name!r}, {member[0]}", *member[1:]], ")")
    return Tree((*lines, *builder.ties), frozenset(builder.leaves), builder.needs_part, builder.paths)


def _empty(tensor: Tensor) -> str:
    """A tensor of this shape and type, to be filled from the file of weights."""
    dtype = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    return f"torch.zeros({list(tensor.shape)}{dtype})"


def _literal(tensor: Tensor, path: str) -> str:
    if tensor.numel() > LARGEST_LITERAL:
        raise InvalidInput(
            f"{path} is a tensor of {tensor.numel()} numbers that is not in the state_dict: register it as a buffer"
        )
    return f"torch.tensor({tensor.tolist()}, dtype={tensor.dtype})"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _with_end(lines: list[str], end: str) -> list[str]:
    return [*lines[:-1], lines[-1] + end]


def _indented(lines: list[str], by: int = 1) -> list[str]:
    return [INDENT * by + line for line in lines]
