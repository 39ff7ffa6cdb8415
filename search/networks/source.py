"""Plain PyTorch source: a traceable network as one class that keeps its layers' names, run and compared first."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from ofa.computed_weights import copied
from ofa.errors import InvalidInput
from search.networks.source_forward import forward_source
from search.networks.source_tree import INDENT, tree_source

CLASS = "Network"
TOLERANCE = 1e-6  # of the largest logit: the same operations in the same order give the same bits
PART = '''
class Part(nn.Module):
    """Layers and tensors by name."""

    def __init__(self, **members):
        super().__init__()
        for name, member in members.items():
            setattr(self, name, member)

'''
HEAD = '''"""{name} in plain PyTorch: {inputs} to {outputs}.

Made by ofa-search; needs torch alone. The layers have the names that they have in model.safetensors:

    network = Network()
    network.load_state_dict(safetensors.torch.load_file("model.safetensors"))
"""

{imports}
{part}
class {cls}(nn.Module):
    def __init__(self):
        super().__init__()
{constructor}

    def forward(self, {argument}):
{forward}
'''


def network_source(net: nn.Module, images: Tensor) -> str:
    """Returns the source of a module with one class, `Network`, that computes what `net` does, in both modes.

    It takes `net`'s state_dict as it is, by the same names, and needs nothing but torch. It is run here on `images`
    (N, C, H, W), in eval mode and in training mode, and its outputs are compared with the network's.

    Raises:
        InvalidInput: the network cannot be written this way: it branches on values, has state that is not in the
            state_dict, or uses functions that are not torch's. The message names the reason.
    """
    traced = copied(net).cpu()
    name = type(net).__name__
    try:
        text = _written(traced, images.cpu(), name)
    except InvalidInput as error:
        raise InvalidInput(f"{name} cannot be written as plain PyTorch: {error}") from None
    except Exception as error:  # tracing may raise anything in others' code
        reason = (str(error) or repr(error)).splitlines()[0]
        raise InvalidInput(f"{name} cannot be written as plain PyTorch: {reason}") from error
    _check(text, net, images.cpu())
    return text


class _Tracer(fx.Tracer):
    """Traces into every module except those that one call of torch.nn makes, and in its own thread alone.

    While it traces, torch has a wrapper in place of `nn.Module.__call__` for all threads: what others compute
    meanwhile, such as scores of the studio, is left as it is.
    """

    def __init__(self, leaves: frozenset[str]) -> None:
        super().__init__()
        self.leaves = leaves
        self.thread = threading.get_ident()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self.leaves

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


def _traced(net: nn.Module, leaves: frozenset[str]) -> fx.Graph:
    """The graph of a network that is called with its first argument alone; the others are their defaults."""
    others = list(inspect.signature(net.forward).parameters.values())[1:]
    defaults = {each.name: each.default for each in others if each.default is not inspect.Parameter.empty}
    graph = _Tracer(leaves).trace(net, concrete_args=defaults or None)
    if defaults:
        arguments = [node for node in graph.nodes if node.op == "placeholder"]
        needless = set(arguments[1:])
        for node in graph.nodes:  # what checks that they are the defaults goes along
            if node.op == "call_function" and node.args and node.args[0] in needless:
                needless.add(node)
        for node in reversed(list(graph.nodes)):
            if node in needless:
                graph.erase_node(node)
    return graph


def _written(net: nn.Module, images: Tensor, name: str) -> str:
    leaves = tree_source(net).leaves
    graphs = [_traced(net.train(mode), leaves) for mode in (True, False)]
    _register_constants(net, graphs)
    tree = tree_source(net)
    (argument, training), (_, evaluating) = (forward_source(graph, tree.paths) for graph in graphs)
    body = list(evaluating)
    if training != evaluating:
        body = ["if self.training:", *(INDENT + line for line in training), *evaluating]
    with torch.no_grad():
        logits = net.eval()(images)
    text = "\n".join((*tree.lines, *body))
    imports = [library for library in ("math", "operator") if f"{library}." in text]
    return HEAD.format(
        name=name,
        cls=CLASS,
        inputs=f"(N, {', '.join(map(str, images.shape[1:]))})",
        outputs=f"(N, {', '.join(map(str, logits.shape[1:]))})",
        imports="\n".join(
            [
                *(f"import {library}" for library in imports),
                *([""] if imports else []),
                *(["import torch"] if "torch." in text else []),
                "from torch import nn",
                *(["from torch.nn import functional"] if "functional." in text else []),
                "",
            ]
        ),
        part=PART if tree.needs_part else "",
        argument=argument,
        constructor="\n".join(INDENT * 2 + line for line in tree.lines),
        forward="\n".join(INDENT * 2 + line for line in body),
    )


def _register_constants(net: nn.Module, graphs: Sequence[fx.Graph]) -> None:
    """Makes buffers of the tensors that the graphs read and that are neither parameters nor buffers yet."""
    known: dict[str, Tensor] = {}
    for node in [node for graph in graphs for node in graph.nodes if node.op == "get_attr"]:
        path, _, name = str(node.target).rpartition(".")
        module = net.get_submodule(path)
        tensor = vars(module).get(name)
        if isinstance(tensor, Tensor) and str(node.target) not in known:
            # Each trace makes the forward's tensors again: one buffer is enough for equal ones.
            same = next((key for key, value in known.items() if _is_equal(value, tensor)), None)
            if same is None:
                known[str(node.target)] = tensor
                delattr(module, name)
                module.register_buffer(name, tensor, persistent=False)
            else:
                node.target = same


def _is_equal(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and torch.equal(first, second)


def _check(text: str, net: nn.Module, images: Tensor) -> None:
    """Runs the source and the network in both modes and compares their outputs.

    Raises:
        InvalidInput: the outputs differ.
    """
    namespace: dict[str, Any] = {}
    state: Mapping[str, Tensor] = net.state_dict()
    with torch.random.fork_rng(devices=[]):
        exec(compile(text, "network.py", "exec"), namespace)  # our own, made above
        for training in (False, True):
            outputs = []
            for network in (namespace[CLASS](), copied(net).cpu()):
                network.load_state_dict(state)
                torch.manual_seed(0)
                with torch.no_grad():
                    outputs.append(network.train(training)(images))
            scale = max(float(outputs[1].abs().max()), 1e-12)
            if not float((outputs[0] - outputs[1]).abs().max()) <= TOLERANCE * scale:
                mode = "training" if training else "eval"
                raise InvalidInput(
                    f"{type(net).__name__} cannot be written as plain PyTorch: in {mode} mode it computes what its "
                    f"trace does not show"
                )
