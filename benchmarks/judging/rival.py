"""How far Torch-Pruning (Fang et al., 2023) shrinks the same model, everything it can to its last channel or head."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten

import ofa

_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
_HEADS = ("num_heads", "num_attention_heads", "n_head", "n_heads", "heads")


def shapes(output: Any) -> list[tuple[int, ...]]:
    """Returns the shapes of all tensors of an output."""
    return [tuple(value.shape) for value in tree_flatten(output)[0] if isinstance(value, Tensor)]


def removed_by_torch_pruning(model: nn.Module, inputs: ofa.Inputs) -> float | str:
    """Returns the fraction of parameters removed, or in a few words why there is no result.

    Layers that make the output are left alone, heads are pruned whole where the module that holds a query layer says
    how many there are, and a result counts if it runs and its outputs have the shapes from before.
    """
    import torch_pruning

    reasons = []
    for with_heads in (True, False):
        net = copy.deepcopy(model).float().eval()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = shapes(inputs.call(net))
                total = sum(parameter.numel() for parameter in net.parameters())
                _prune(torch_pruning, net, inputs, with_heads)
                with torch.no_grad():
                    found = shapes(inputs.call(net))
            if found != expected:
                reasons.append("changes the output's shape")
                continue
            return 1 - sum(parameter.numel() for parameter in net.parameters()) / total
        except Exception as error:
            reasons.append(f"{type(error).__name__}: {(str(error) or '-').splitlines()[0][:120]}")
    return reasons[-1]


def _prune(library: Any, net: nn.Module, inputs: ofa.Inputs, with_heads: bool) -> None:
    layers = {module for module in net.modules() if isinstance(module, _LAYERS)}
    last = _makers_of_the_output(net, inputs)
    widths = {layer: int(layer.weight.shape[1 if _is_transposed(layer) else 0]) for layer in layers - last}
    heads = _heads(net) if with_heads else {}
    pruner = library.pruner.BasePruner(
        net,
        inputs,
        importance=library.importance.MagnitudeImportance(p=1),
        pruning_ratio=0.0,
        pruning_ratio_dict={layer: 1 - 1.001 / max(2, width) for layer, width in widths.items()},
        ignored_layers=list(last),
        num_heads=heads,
        prune_num_heads=bool(heads),
        head_pruning_ratio=1 - 1.001 / max(heads.values()) if heads else 0.0,
        forward_fn=lambda model, example: example.call(model),
        output_transform=lambda out: sum(value.sum() for value in tree_flatten(out)[0] if _is_float(value)),
    )
    pruner.step()


def _is_float(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _is_transposed(layer: nn.Module) -> bool:
    return isinstance(layer, nn.modules.conv._ConvTransposeNd)


def _heads(net: nn.Module) -> dict[nn.Module, int]:
    found: dict[nn.Module, int] = {}
    for module in net.modules():
        count = next((getattr(module, name) for name in _HEADS if isinstance(getattr(module, name, None), int)), 0)
        for child in module.children() if count > 1 else ():
            if isinstance(child, nn.Linear) and child.out_features % count == 0:
                found[child] = count
    last = {child for module in net.modules() for name, child in module.named_children() if name in ("proj", "out")}
    return {layer: count for layer, count in found.items() if layer not in last}


def _makers_of_the_output(net: nn.Module, inputs: ofa.Inputs) -> set[nn.Module]:
    """Returns the layers whose result is an output, and the one that ran last."""
    made: dict[int, nn.Module] = {}
    alive: list[Tensor] = []
    ran: list[nn.Module] = []

    def note(module: nn.Module, args: Any, output: Any) -> None:
        ran.append(module)
        if isinstance(output, Tensor):
            made[id(output)] = module
            alive.append(output)

    handles = [module.register_forward_hook(note) for module in net.modules() if isinstance(module, _LAYERS)]
    with torch.no_grad():
        output = inputs.call(net)
    for handle in handles:
        handle.remove()
    leaves = [value for value in tree_flatten(output)[0] if isinstance(value, Tensor)]
    return {made[id(value)] for value in leaves if id(value) in made} | set(ran[-1:])
