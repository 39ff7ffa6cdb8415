"""The computation of a network, from a graph of torch.fx, as the statements of a forward."""

from __future__ import annotations

import builtins
import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, count
from typing import Any, cast

import torch
from torch import fx
from torch.nn import functional

from ofa.errors import InvalidInput
from search.networks.source_layers import is_name, keywords_text, value_text

INFIX = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.and_: "&",
    operator.or_: "|",
}
READING = (operator.getitem, getattr)  # without side effects: left out if the result is not used
VARIABLES = ("x", "y", "z")
ROOTS = ("self", "torch", "nn", "functional", "math", "operator")  # names that the file already uses
# In order of preference, for a function that several have.
LIBRARIES = {
    "functional": functional,
    "torch": torch,
    "torch.special": torch.special,
    "torch.linalg": torch.linalg,
    "torch.fft": torch.fft,
    "math": math,
    "operator": operator,
}


def forward_source(graph: fx.Graph, paths: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Returns the name of the input and the statements.

    A variable that is no longer needed is reused, so that memory is freed as in the network itself.

    Args:
        graph: calls of layers, functions and methods.
        paths: the expression of every module and tensor by its path.

    Raises:
        InvalidInput: several inputs, or a function that is not of torch.
    """
    inputs = [node for node in graph.nodes if node.op == "placeholder" and node.users]
    if len(inputs) != 1:
        raise InvalidInput(f"it has {len(inputs)} inputs that are used; one is written")
    argument = str(inputs[0].target)
    argument = argument if is_name(argument) and argument not in (*VARIABLES, *ROOTS) else "inputs"
    texts: dict[fx.Node, str] = {inputs[0]: argument}
    variables: dict[fx.Node, str] = {}  # of the results that are still needed
    last_use = {used: node for node in graph.nodes for used in node.all_input_nodes}
    lines: list[str] = []

    def text_of(value: Any) -> str:
        return value_text(value, lambda part: texts[part] if isinstance(part, fx.Node) else None)

    for node in graph.nodes:
        if node.op == "get_attr":
            texts[node] = paths[str(node.target)]
        elif node.op == "output":
            lines.append(f"return {text_of(node.args[0])}")
        elif node.op != "placeholder" and (node.users or node.target not in READING):
            statement = _call(node, text_of, paths)
            done = [
                variables.pop(used) for used in node.all_input_nodes if used in variables and last_use[used] is node
            ]
            if node.users:
                texts[node] = variables[node] = done[0] if done else _free(variables.values())
                statement = f"{texts[node]} = {statement}"
            lines.append(statement)
    return argument, tuple(lines)


def _free(taken: Iterable[str]) -> str:
    """The first variable that is not taken."""
    busy = set(taken)
    return next(name for name in chain(VARIABLES, (f"x{number}" for number in count(1))) if name not in busy)


def _call(node: fx.Node, text_of: Callable[[Any], str], paths: Mapping[str, str]) -> str:
    arguments = [text_of(value) for value in node.args]
    if node.op == "call_function":
        if node.target in INFIX and len(arguments) == 2:
            return f"{_grouped(arguments[0])} {INFIX[node.target]} {_grouped(arguments[1])}"
        if node.target is operator.getitem:
            return f"{_grouped(arguments[0])}[{arguments[1]}]"
        if node.target is getattr and is_name(str(node.args[1])):
            return f"{_grouped(arguments[0])}.{node.args[1]}"
        called = _function_name(node.target)
    elif node.op == "call_method":
        called = f"{_grouped(arguments.pop(0))}.{node.target}"
    else:
        called = paths[str(node.target)]
    named = {name: text_of(value) for name, value in node.kwargs.items() if not _is_default(node, name, value)}
    return f"{called}({', '.join([*arguments, *([keywords_text(named)] if named else [])])})"


def _grouped(text: str) -> str:
    """An operand, in parentheses if it is a negative number."""
    return f"({text})" if text.startswith("-") else text


def _function_name(function: Any) -> str:
    """The name of a function of torch in source.

    Raises:
        InvalidInput: it is not a function of torch.
    """
    name = str(getattr(function, "__name__", ""))
    for library, module in LIBRARIES.items():
        for candidate in (name, name.lstrip("_")):
            if getattr(module, candidate, None) is function:
                return f"{library}.{candidate}"
    for library, module in LIBRARIES.items():
        public_name = next((key for key, value in vars(module).items() if value is function and key[0] != "_"), None)
        if public_name is not None:
            return f"{library}.{public_name}"
    if getattr(builtins, name, None) is function:
        return name
    raise InvalidInput(f"it calls {name or function!r}, which is no function of torch")


def _is_default(node: fx.Node, name: str, value: Any) -> bool:
    """Whether a keyword argument equals the function's default."""
    if node.op != "call_function":
        return False
    function = getattr(functional, f"_{getattr(node.target, '__name__', '')}", node.target)
    try:
        default = inspect.signature(cast(Callable[..., Any], function)).parameters[name].default
    except (TypeError, ValueError, KeyError):  # implemented in C, or it forwards its arguments
        return False
    return type(default) is type(value) and bool(default == value)
