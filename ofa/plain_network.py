"""The plain network inside a wrapper, and the refusal of weights that are computed from other parameters.

A mask, a slice or an initial weight has to act on the weight that a layer multiplies with. Where that is recomputed
in each forward, from parameters that mean something else, acting on those would be silently wrong.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ofa.errors import InvalidInput

_SHOWN = 3  # layers that a refusal names


class WrapperRemoved(UserWarning):
    """The network inside a wrapper is used, not the wrapper."""


def plain_network(model: nn.Module, user: str) -> nn.Module:
    """Returns the network inside torch.compile and DataParallel wrappers; a model without one as it is.

    `user` names what works on it; a warning, `WrapperRemoved`, says that the wrapper is left out.

    Raises:
        InvalidInput: no module, or one whose parameters are sharded, or layers that are compiled by themselves.
    """
    if not isinstance(model, nn.Module):
        raise InvalidInput(f"model is a {type(model).__name__}; give a torch.nn.Module")
    inner = model
    while (attribute := _inner_attribute(inner)) is not None:
        warnings.warn(
            f"{user} works on the network inside {type(inner).__name__} (its .{attribute}), not on the wrapper: names "
            f"have no {attribute!r} in front; wrap the resulting network again",
            WrapperRemoved,
            stacklevel=3,
        )
        inner = getattr(inner, attribute)
    for path, module in inner.named_modules():
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


def check_plain_weights(model: nn.Module, user: str, paths: frozenset[str] | None = None) -> None:
    """Checks that layers hold their weights themselves; of all layers, or of those at `paths`.

    Raises:
        InvalidInput: a weight that is computed from other parameters, with the call that makes it plain.
    """
    computed = [
        (path, name, method, remedy)
        for path, module in model.named_modules()
        if paths is None or path in paths
        for name, method, remedy in _computed(module, path)
    ]
    if not computed:
        return
    path, name, method, remedy = computed[0]
    others = [other for other, *_ in computed[1:]]
    more = f" (so are those of {', '.join(others[:_SHOWN])}{', ...' if len(others) > _SHOWN else ''})" if others else ""
    raise InvalidInput(
        f"{user}: {name!r} of the layer {path!r} is computed from other parameters by {method}{more}; "
        f"make it plain first, before the optimizer: {remedy}"
    )


def computed_weights(model: nn.Module) -> dict[str, str]:
    """Returns the path of the layer by the name of each parameter that a weight of it is computed from."""
    return {
        f"{path}.{name}" if path else name: path
        for path, module in model.named_modules()
        if any(True for _ in _computed(module, path))
        for name, _ in module.named_parameters(recurse=parametrize.is_parametrized(module))
    }


def _inner_attribute(module: nn.Module) -> str | None:
    """The attribute of a wrapper that holds the network; None for any other module."""
    compiled = getattr(sys.modules.get("torch._dynamo.eval_frame"), "OptimizedModule", None)
    if compiled is not None and isinstance(module, compiled):
        return "_orig_mod"
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        return "module"
    if type(module).__name__ == "FullyShardedDataParallel":
        raise InvalidInput("FullyShardedDataParallel keeps shards of parameters: give the network before it is sharded")
    return None


def _computed(module: nn.Module, path: str) -> Iterator[tuple[str, str, str]]:
    """Name, way and remedy of each tensor of a layer that is computed from parameters."""
    layer = f"model.get_submodule({path!r})" if path else "model"

    def call(function: str, name: str) -> str:
        return f"torch.nn.utils.{function}({layer}, {name!r})"

    if parametrize.is_parametrized(module):
        for name, chain in vars(module)["_modules"]["parametrizations"].items():
            kinds = ", ".join(type(step).__name__.strip("_") for step in chain)
            yield name, f"torch.nn.utils.parametrize ({kinds})", call("parametrize.remove_parametrizations", name)
    recognized = False
    for hook in module._forward_pre_hooks.values():
        for base in type(hook).__mro__:
            hook_kind = _HOOKS.get((base.__module__, base.__name__))
            if hook_kind is not None:
                recognized = True
                name = str(getattr(hook, hook_kind.attribute))
                yield name, hook_kind.function, call(hook_kind.remedy, name)
    if not recognized and isinstance(vars(module).get("weight"), Tensor):
        yield "weight", "the model's own code", "give a model whose layers hold their weights as parameters"


@dataclass(frozen=True)
class _Hook:
    """A forward hook of torch that computes a weight: what set it, what removes it, what names the weight."""

    function: str
    remedy: str
    attribute: str = "name"


_HOOKS = {
    ("torch.nn.utils.weight_norm", "WeightNorm"): _Hook("weight_norm", "remove_weight_norm"),
    ("torch.nn.utils.spectral_norm", "SpectralNorm"): _Hook("spectral_norm", "remove_spectral_norm"),
    ("torch.nn.utils.prune", "BasePruningMethod"): _Hook("torch.nn.utils.prune", "prune.remove", "_tensor_name"),
}
