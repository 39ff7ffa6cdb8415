"""The attributes in which torch's own layers keep sizes, and their values after slicing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

Shapes = Mapping[str, tuple[int, ...]]

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_BATCH_NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def sliced_attributes(module: nn.Module, shapes: Shapes) -> dict[str, Any]:
    """Returns what to set on a copy of `module` whose parameters and buffers now have `shapes`.

    Args:
        module: the full layer.
        shapes: the new shape of each of its own parameters and buffers by name.
    """
    for kinds, rule in _RULES:
        if isinstance(module, kinds):
            return rule(module, shapes)
    return {}


def keeps_sizes(module: nn.Module) -> bool:
    """Whether this is a layer of torch whose sizes `sliced_attributes` sets."""
    return type(module).__module__.startswith("torch.nn.") and any(isinstance(module, kinds) for kinds, _ in _RULES)


def _conv(module: Any, shapes: Shapes) -> dict[str, Any]:
    out_channels, in_per_group, *kernel = shapes["weight"]
    groups = module.groups * out_channels // module.out_channels if module.groups > 1 else 1
    return {
        "out_channels": out_channels,
        "in_channels": in_per_group * groups,
        "groups": groups,
        **_kernel(module, tuple(kernel)),
    }


def _kernel(module: Any, kernel: tuple[int, ...]) -> dict[str, Any]:
    """A kernel cropped to its center keeps its output in place with that much less padding."""
    if kernel == tuple(module.kernel_size):
        return {}
    if isinstance(module.padding, str):
        padding: Any = module.padding
        both = [d * (k - 1) // 2 for d, k in zip(module.dilation, kernel, strict=True)]
    else:
        padding = tuple(
            p - d * (old - new) // 2
            for p, d, old, new in zip(module.padding, module.dilation, module.kernel_size, kernel, strict=True)
        )
        both = list(padding)
    reversed_twice = [amount for amount in reversed(both) for _ in range(2)]
    return {"kernel_size": kernel, "padding": padding, "_reversed_padding_repeated_twice": reversed_twice}


def _transposed(module: Any, shapes: Shapes) -> dict[str, Any]:
    return {"in_channels": shapes["weight"][0], "out_channels": shapes["weight"][1] * module.groups}


def _linear(module: Any, shapes: Shapes) -> dict[str, Any]:
    return {"out_features": shapes["weight"][0], "in_features": shapes["weight"][1]}


def _batch_norm(module: Any, shapes: Shapes) -> dict[str, Any]:
    shape = shapes.get("weight", shapes.get("running_mean"))
    return {} if shape is None else {"num_features": shape[0]}


def _layer_norm(module: Any, shapes: Shapes) -> dict[str, Any]:
    return {"normalized_shape": tuple(shapes["weight"])} if "weight" in shapes else {}


def _group_norm(module: Any, shapes: Shapes) -> dict[str, Any]:
    if "weight" not in shapes:
        return {}
    channels = shapes["weight"][0]
    groups = module.num_groups * channels // module.num_channels if module.num_groups > 1 else 1
    return {"num_channels": channels, "num_groups": groups}


def _prelu(module: Any, shapes: Shapes) -> dict[str, Any]:
    return {"num_parameters": shapes["weight"][0]}


def _recurrent(module: Any, shapes: Shapes) -> dict[str, Any]:
    """All layers and directions have one hidden size; with a projection the rows of gates tell it."""
    into, within = ("weight_ih", "weight_hh") if "weight_hh" in shapes else ("weight_ih_l0", "weight_hh_l0")
    if within not in shapes:
        return {}
    gates = getattr(module, within).shape[0] // module.hidden_size
    sizes = {"input_size": shapes[into][1], "hidden_size": shapes[within][0] // gates}
    return {**sizes, "proj_size": shapes[within][1]} if getattr(module, "proj_size", 0) else sizes


def listed_weights(module: nn.Module) -> dict[str, Any]:
    """Returns the list of its own parameters that a recurrent layer keeps and reads, to set on a copy of it."""
    names = module.__dict__.get("_flat_weights_names")
    if not isinstance(module, nn.RNNBase) or names is None:
        return {}
    return {"_flat_weights": [getattr(module, name, None) for name in names]}


_RULES: tuple[tuple[tuple[type, ...], Callable[[Any, Shapes], dict[str, Any]]], ...] = (
    (_CONVS, _conv),
    (_TRANSPOSED, _transposed),
    ((nn.Linear,), _linear),
    (_BATCH_NORMS, _batch_norm),
    ((nn.LayerNorm, getattr(nn, "RMSNorm", nn.LayerNorm)), _layer_norm),
    ((nn.GroupNorm,), _group_norm),
    ((nn.PReLU,), _prelu),
    ((nn.RNNBase, nn.RNNCellBase), _recurrent),
)
