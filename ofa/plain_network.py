"""The plain network inside a wrapper, and the refusal of weights that are computed from other parameters.

A mask, a slice or an initial weight has to act on the weight that a layer multiplies with. Where that is recomputed
in each forward, from parameters that mean something else, acting on those would be silently wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel

from ofa.computed_weights import ComputedWeight, computed_weights
from ofa.errors import InvalidInput
from ofa.modes import in_mode

_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
_SHOWN = 3  # layers that a refusal names


class WrapperRemoved(UserWarning):
    """The network inside a wrapper is used, not the wrapper."""


def plain_network(model: nn.Module, user: str) -> nn.Module:
    """Returns the network inside torch.compile, DataParallel and averaging wrappers; a model without one as it is.

    `user` names what works on it; a warning, `WrapperRemoved`, says that the wrapper is left out.

    Raises:
        InvalidInput: no module, or one that is scripted, traced or quantized, whose parameters are sharded, or with
            layers that are compiled by themselves.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInput(
            f"model is a {type(model).__name__}; give a torch.nn.Module: that of which it was made, or one whose "
            "forward calls it"
        )
    _check_is_python(model, "the model", user)
    inner = model
    check_not_distributed(inner, user)
    while (attribute := _inner_attribute(inner)) is not None:
        warnings.warn(
            f"{user} works on the network inside {type(inner).__name__} (its .{attribute}), not on the wrapper: names "
            f"have no {attribute!r} in front; wrap the resulting network again",
            WrapperRemoved,
            stacklevel=3,
        )
        inner = getattr(inner, attribute)
    for path, module in inner.named_modules():
        _check_is_python(module, f"the layer {path!r}", user)
        if _inner_attribute(module) is not None:
            raise InvalidInput(
                f"{user}: the layer {path!r} is a {type(module).__name__}, so its own class cannot be seen: "
                f"give the network first, and wrap it afterwards as a whole"
            )
        if hasattr(vars(module).get("forward"), "_torchdynamo_orig_callable"):
            raise InvalidInput(
                f"{user}: forward of {path or 'the model'!r} was replaced by torch.compile, and a copy would run the "
                f"original: give the network first, then use torch.compile(network)"
            )
    return inner


def check_not_distributed(model: nn.Module, user: str) -> None:
    """Checks that no part of a model exchanges gradients by itself.

    Raises:
        InvalidInput: one is inside DistributedDataParallel.
    """
    for path, module in model.named_modules():
        if isinstance(module, nn.parallel.DistributedDataParallel):
            where = f"the layer {path!r}: " if path else ""
            raise InvalidInput(
                f"{user}: {where}DistributedDataParallel exchanges gradients in a forward of its own, which views and "
                "subnets do not call: give the network inside it (its .module); ofa.train exchanges gradients itself "
                "where torch.distributed is initialized, and a Pruner's masks are the same in all processes"
            )


def check_plain_weights(model: nn.Module, user: str, paths: frozenset[str] | None = None) -> None:
    """Checks that layers hold their weights themselves; of all layers, or of those at `paths`.

    Raises:
        InvalidInput: a weight that is computed from other parameters, with the call that makes it plain.
    """
    computed = [
        (path, weight)
        for path, module in model.named_modules()
        if paths is None or path in paths
        for weight in computed_weights(module)
    ]
    _refuse(user, computed)


def check_weights_of_supernet(model: nn.Module) -> None:
    """Checks that each weight that a layer computes has the shape of a parameter that it is computed from.

    Raises:
        InvalidInput: one that has not, or that the model's own code computes, with the call that makes it plain.
    """
    computed = [(path, weight) for path, module in model.named_modules() for weight in computed_weights(module)]
    _refuse("Supernet", [(path, weight) for path, weight in computed if not _keeps_shape(model, path, weight)])


def _keeps_shape(model: nn.Module, path: str, weight: ComputedWeight) -> bool:
    if weight.original is None:
        return False
    layer = model.get_submodule(path)
    part, _, name = weight.original.rpartition(".")
    original = getattr(layer.get_submodule(part), name)
    with torch.no_grad(), in_mode(layer, training=False):
        return bool(getattr(layer, weight.name).shape == original.shape)


def _refuse(user: str, computed: Sequence[tuple[str, ComputedWeight]]) -> None:
    if not computed:
        return
    path, weight = computed[0]
    others = [other for other, _ in computed[1:]]
    more = f" (so are those of {', '.join(others[:_SHOWN])}{', ...' if len(others) > _SHOWN else ''})" if others else ""
    layer = f"model.get_submodule({path!r})" if path else "model"
    call = f"torch.nn.utils.{weight.remover}({layer}, {weight.name!r})"
    raise InvalidInput(
        f"{user}: {weight.name!r} of the layer {path!r} is computed from other parameters by {weight.method}{more}; "
        f"make it plain first, before the optimizer: "
        f"{call if weight.remover else 'give a model whose layers hold their weights as parameters'}"
    )


def computed_layers(model: nn.Module) -> dict[str, str]:
    """Returns the path of the layer by the name of each parameter that a weight of it is computed from."""
    return {
        f"{path}.{name}" if path else name: path
        for path, module in model.named_modules()
        if computed_weights(module)
        for name, _ in module.named_parameters(recurse=parametrize.is_parametrized(module))
    }


def _check_is_python(module: nn.Module, what: str, user: str) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        made = "traced" if "Traced" in type(module).__name__ else "scripted"
        raise InvalidInput(
            f"{user}: {what} is {made} by torch.jit, and has no forward in Python any more: give the network that it "
            "was made of, and script or trace the resulting network"
        )
    if type(module).__module__.startswith(_QUANTIZED):
        raise InvalidInput(
            f"{user}: {what} is a quantized {type(module).__name__}, whose weights are packed and do not train: give "
            "the network in floating point, and quantize the resulting network"
        )


def _inner_attribute(module: nn.Module) -> str | None:
    """The attribute of a wrapper that holds the network; None for any other module."""
    compiled = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", None)
    if compiled is not None and isinstance(module, compiled):
        return "_orig_mod"
    if isinstance(module, (nn.DataParallel, AveragedModel)):
        return "module"
    if type(module).__name__ == "FullyShardedDataParallel":
        raise InvalidInput("FullyShardedDataParallel keeps shards of parameters: give the network before it is sharded")
    return None
