"""Blocks: the parts of a network that are timed alone, found from its module tree."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ofa.arch import Arch
from ofa.resolution import resized
from ofa.views.module_plan import ModulePlan
from search.device.workload import USUAL, Workload

if TYPE_CHECKING:
    from ofa.supernet import Supernet

MOST_CONTRACTIONS = 12  # of a block: a larger module is split into its children
PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class Block:
    """One module of a supernet, or consecutive modules of an `nn.Sequential`, by their paths.

    Its name is the path of its first module; two blocks in a row are called "first+second".
    """

    paths: tuple[str, ...]
    name: str


@dataclass(frozen=True)
class Piece:
    """A block of one subnet, ready to be timed alone: one tensor in, one tensor out."""

    block: Block
    net: nn.Module
    example_input: Tensor
    key: str  # equal for equal pieces, independent of their position in the network
    follows: str = ""  # the block whose output is this one's input, unchanged


def find_blocks(supernet: Supernet) -> tuple[Block, ...]:
    """Returns the blocks of a supernet, in order of its module tree.

    A module that is called once is a block, unless it contains blocks that depth counts, is a container of several
    layers, or has more than `MOST_CONTRACTIONS` convolutions and products: then its children are considered.
    In an `nn.Sequential` a layer includes what follows it up to the next layer (norm, activation, pooling), because
    runtimes fuse them. What is in no block, such as pooling in the model's own forward, is left to the fit.
    """
    trace = supernet.structure.trace
    modules = dict(supernet.model.named_modules())
    calls = Counter(call.module for call in trace.calls)
    gated = {path for stage in supernet.structure.stages for path in stage.blocks}
    contractions: Counter[str] = Counter()
    for layer in trace.contractions:
        contractions.update(_above(layer.module))
    holds_gated = {above for path in gated for above in _above(path)[:-1]}
    blocks: list[Block] = []

    def visit(path: str) -> None:
        module = modules[path]
        children = [(f"{path}.{name}" if path else name) for name, _ in module.named_children()]
        many = contractions[path] > 1
        is_container = isinstance(module, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
        splits = sum(contractions[child] for child in children) == contractions[path]
        is_large = splits and contractions[path] > MOST_CONTRACTIONS
        if path and calls[path] == 1 and path not in holds_gated and not (many and is_container) and not is_large:
            blocks.append(Block((path,), path))
            return
        plain_run = isinstance(module, nn.Sequential) and path not in holds_gated and calls[path] == 1
        for run in _runs(children, contractions) if plain_run else [[child] for child in children]:
            if len(run) > 1 and contractions[run[0]] == 1:
                blocks.append(Block(tuple(run), run[0]))
            elif contractions[run[0]]:
                visit(run[0])

    visit("")
    return tuple(blocks)


def pieces_of(supernet: Supernet, arch: Arch, blocks: Sequence[Block], workload: Workload = USUAL) -> list[Piece]:
    """Returns the blocks that are part of a subnet, each with its input when the subnet runs at its resolution.

    A block whose first argument is not a tensor is left out.
    """
    net = supernet.extract(arch).eval()
    modules = _by_origin(supernet, supernet.plan(arch), net)
    inputs: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    outputs: list[tuple[str, Any]] = []
    handles = []
    present = [block for block in blocks if all(path in modules for path in block.paths)]
    for block in present:

        def keep_input(_: nn.Module, args: Any, kwargs: Any, name: str = block.name) -> None:
            inputs[name] = (args, kwargs)

        def keep_output(_: nn.Module, args: Any, output: Any, name: str = block.name) -> None:
            outputs.append((name, output))

        handles.append(modules[block.paths[0]].register_forward_pre_hook(keep_input, with_kwargs=True))
        handles.append(modules[block.paths[-1]].register_forward_hook(keep_output))
    with torch.no_grad():
        workload.inputs(resized(supernet.inputs.rows(0, 1), arch)).call(net)
    for handle in handles:
        handle.remove()
    pieces = []
    for block in present:
        args, kwargs = inputs.get(block.name, ((), {}))
        if not args or not isinstance(args[0], Tensor):
            continue
        parts = [modules[path] for path in block.paths]
        inner = parts[0] if len(parts) == 1 else nn.Sequential(*parts)
        alone = Alone(inner, args[1:], kwargs) if args[1:] or kwargs else inner
        before = next((name for name, output in outputs if output is args[0]), "")
        pieces.append(Piece(block, alone, args[0].detach(), signature(inner, args, kwargs), before))
    return pieces


def pairs_of(pieces: Sequence[Piece]) -> list[Piece]:
    """Returns consecutive pieces joined in pairs, wherever one takes the other's output unchanged."""
    by_name = {piece.block.name: piece for piece in pieces}
    pairs = []
    for second in pieces:
        first = by_name.get(second.follows)
        if first is None or isinstance(first.net, Alone) or isinstance(second.net, Alone):
            continue
        both = Block((*first.block.paths, *second.block.paths), f"{first.block.name}+{second.block.name}")
        key = hashlib.sha256(f"{first.key}+{second.key}".encode()).hexdigest()[:16]
        pairs.append(Piece(both, nn.Sequential(first.net, second.net), first.example_input, key))
    return pairs


class Alone(nn.Module):
    """A block that takes more than one tensor, with all but the first held fixed; returns its first tensor."""

    def __init__(self, block: nn.Module, others: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        super().__init__()
        self.block = block
        self._others, self._named = others, dict(named)

    def forward(self, value: Tensor) -> Tensor:
        """Returns the first tensor of the block's output."""
        leaves = tree_leaves(self.block(value, *self._others, **self._named))
        first: Tensor = next(leaf for leaf in leaves if isinstance(leaf, Tensor))
        return first


def signature(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Returns 16 hex digits, equal for equal pieces: of classes, plain attributes, shapes of weights and inputs."""
    text: list[Any] = [_shape(leaf) for leaf in tree_leaves((args, dict(kwargs)))]
    for name, inner in module.named_modules():
        plain = [
            (key, value)
            for key, value in sorted(inner.__dict__.items())
            if key != "training" and (isinstance(value, PLAIN) or _is_plain_tuple(value))
        ]
        shapes = [(key, _shape(value)) for key, value in inner._parameters.items()]
        text.append((name, type(inner).__qualname__, plain, shapes))
    return hashlib.sha256(repr(text).encode()).hexdigest()[:16]


def _shape(value: Any) -> Any:
    return tuple(value.shape) if isinstance(value, Tensor) else repr(value)


def _is_plain_tuple(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, PLAIN) for item in value)


def _above(path: str) -> list[str]:
    """The path and those of all modules that contain it, the whole network first."""
    parts = path.split(".") if path else []
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]


def _runs(children: Sequence[str], contractions: Counter[str]) -> list[list[str]]:
    """Children of a Sequential, each layer with what follows it; what precedes the first layer joins it."""
    runs: list[list[str]] = []
    for child in children:
        if contractions[child] or not runs:
            runs.append([child])
        else:
            runs[-1].append(child)
    return runs


def _by_origin(supernet: Supernet, plan: ModulePlan, net: nn.Module) -> dict[str, nn.Module]:
    """The modules of an extracted subnet by their paths in the supernet: shorter lists renumber their blocks."""
    paths = {id(module): path for path, module in supernet.model.named_modules()}
    modules: dict[str, nn.Module] = {}

    def visit(plan: ModulePlan, module: nn.Module) -> None:
        path = paths.get(id(plan.module))
        if path is None:  # a placeholder for a block that was left out
            return
        modules[path] = module
        for name, child in plan.children:
            inner = module._modules[name]
            if child is not None and inner is not None:
                visit(child, inner)

    visit(plan, net)
    return modules
