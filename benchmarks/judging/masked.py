"""A reference for a subnet: the full model with removed weights at zero, and norms over what is left alone.

It shares no code with the toolkit's own comparison and follows no labels: a norm leaves out what the Arch removes from
its weight, and any other reduction what the inputs do not reach and the Arch removes from some weight of that size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

import ofa
from benchmarks.judging.standardization import standardized, training_batch_norm


class Masking(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Leaves removed entries out of norms and reductions.

    `removed` are those of all weights, by the size they are of; `weights` has those of vectors, by the vector's id;
    `kernels` are the addresses of the others.
    """

    def __init__(
        self,
        removed: Mapping[int, Sequence[Tensor]],
        weights: Mapping[int, Tensor],
        kernels: frozenset[int],
        batch: int,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.removed, self.weights, self.kernels, self.batch = removed, weights, kernels, batch
        self.means: dict[int, tuple[Tensor, Tensor, Tensor]] = {}  # by the mean's id: it, of what, kept entries

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        value = args[0] if args and isinstance(args[0], Tensor) else None
        if name == "sub" and id(args[1]) in self.means:
            _, source, keep = self.means[id(args[1])]
            return func(*args, **kwargs) * (keep if source is value else 1)  # removed entries stay zero
        if value is None or not value.is_floating_point():
            return func(*args, **kwargs)
        if name.startswith("_scaled_dot_product"):
            return self._attention(func, args, kwargs)
        if training_batch_norm(name, value, args, self.kernels):
            return standardized(value, args)
        dims = _dims(name, value, args, kwargs)
        keep = torch.ones_like(value) if any(value.size(d) in self.removed for d in dims) else None
        if keep is None:
            return func(*args, **kwargs)
        for d in dims:
            own = next((self.weights[id(one)] for one in args[1:] if id(one) in self.weights), None)
            gone = _removed(value, d, self.removed.get(value.size(d), ()), self.batch) if own is None else own
            keep = keep * (~gone).view([-1 if e == d else 1 for e in range(value.dim())]).to(value.dtype)
        if bool(keep.all()):
            return func(*args, **kwargs)
        result = _masked(name, func, args, kwargs, dims, keep)
        if name == "mean":
            self.means[id(result)] = (result, value, keep)
        return result

    def _attention(self, func: Any, args: Any, kwargs: Any) -> Any:
        """Runs fused attention over the keys that are left, with the scale that the queries' other channels give."""
        given = {**dict(zip((one.name for one in func._schema.arguments), args, strict=False)), **kwargs}
        query, key = given["query"], given["key"]
        gone = _removed(query, query.dim() - 1, self.removed.get(query.size(-1), ()), self.batch)
        if given.get("scale") is None and bool(gone.any()):
            given["scale"] = int((~gone).sum()) ** -0.5
        left = ~_removed(key, key.dim() - 2, self.removed.get(key.size(-2), ()), self.batch)
        if not bool(left.all()):
            given["key"], given["value"] = key[..., left, :], given["value"][..., left, :]
            for name in ("attn_mask", "attn_bias"):
                if given.get(name) is not None and given[name].size(-1) > 1:
                    given[name] = given[name][..., left]
        return func(**given)


_REDUCTIONS = ("mean", "sum", "var", "std", "var_mean", "std_mean", "linalg_vector_norm", "amax", "amin", "logsumexp")


def _dims(name: str, value: Tensor, args: Any, kwargs: Any) -> list[int]:
    """Returns the dimensions that an op normalizes or reduces over; none for other ops."""
    every = list(range(value.dim()))
    if name in ("native_layer_norm", "_fused_rms_norm"):
        return every[-len(args[1]) :]
    if name == "native_group_norm":
        return [1]
    if name in ("_softmax", "_log_softmax"):
        return [args[1] % value.dim()]
    if name in _REDUCTIONS:
        position = 2 if name == "linalg_vector_norm" else 1
        dims = args[position] if len(args) > position else kwargs.get("dim")
        if dims is None or isinstance(dims, bool) or dims == []:
            return every
        return [d % value.dim() for d in ([dims] if isinstance(dims, int) else dims)]
    return []


def _removed(value: Tensor, dim: int, candidates: Sequence[Tensor], batch: int) -> Tensor:
    """Returns the largest of these sets of entries along `dim` that the inputs do not reach, as a mask.

    They have one value throughout or, where positions were mixed in between with a bias, one for all examples; where
    all entries have, as behind one channel that saturates, that shows nothing. What is left may be constant too, such
    as one channel behind its norm: removed are then those that are zero.
    """
    rows = value.movedim(dim, 0).reshape(value.size(dim), -1)
    if bool((rows == rows[:1]).all()):  # what is left would differ: `dim` is of this size by chance
        return torch.zeros(len(rows), dtype=torch.bool)
    ways = [(rows == rows[:, :1]).all(1)]
    if dim and value.size(0) % batch == 0:
        examples = value.movedim(dim, 0).reshape(value.size(dim), batch, -1)
        unreached = (examples == examples[:, :1]).flatten(1).all(1)
        ways += [] if bool(unreached.all()) else [unreached]
    if bool(ways[0].all()):
        ways = [(rows == 0).all(1)]
    for dead in ways if not bool(ways[0].all()) else ():
        fitting = [mask for mask in candidates if bool((dead | ~mask).all())]
        if fitting:
            return max(fitting, key=lambda mask: int(mask.sum()))
    return torch.zeros_like(ways[0])


def _masked(name: str, func: Any, args: Any, kwargs: Any, dims: list[int], keep: Tensor) -> Any:
    value = args[0]
    if name in ("_softmax", "_log_softmax", "amax", "logsumexp"):
        return func(value.masked_fill(keep == 0, float("-inf")), *args[1:], **kwargs)
    if name == "amin":
        return func(value.masked_fill(keep == 0, float("inf")), *args[1:], **kwargs)
    if name in ("sum", "linalg_vector_norm"):
        return func(value * keep, *args[1:], **kwargs)
    if name == "native_group_norm":
        return _group_norm(*args, keep=keep)
    count = keep.sum(dims, keepdim=True)
    mean = (value * keep).sum(dims, keepdim=True) / count
    spread = (((value - mean) * keep) ** 2).sum(dims, keepdim=True)
    if name == "native_layer_norm":
        rstd = (spread / count + args[4]).rsqrt()
        out = (value - mean) * rstd * keep
        out = out if args[2] is None else out * args[2]
        return (out if args[3] is None else out + args[3]), mean, rstd
    if name == "_fused_rms_norm":
        eps = args[3] if args[3] is not None else torch.finfo(value.dtype).eps
        rstd = (((value * keep) ** 2).sum(dims, keepdim=True) / count + eps).rsqrt()
        out = value * rstd * keep
        return (out if args[2] is None else out * args[2]), rstd
    keepdim = bool(kwargs.get("keepdim", args[2] if name == "mean" and len(args) > 2 else False))
    correction = kwargs.get("correction", 1)
    variance = spread / (count - (1 if correction is None else correction)).clamp(min=0)

    def shaped(result: Tensor) -> Tensor:
        for d in sorted(dims, reverse=True) if not keepdim else ():
            result = result.squeeze(d)
        return result

    second = variance.sqrt() if name.startswith("std") else variance
    if name == "mean":
        return shaped(mean)
    return (shaped(second), shaped(mean)) if name.endswith("_mean") else shaped(second)


def _group_norm(
    value: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    n: int,
    c: int,
    size: int,
    groups: int,
    eps: float,
    keep: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, mask = value.reshape(n, groups, -1), keep.expand_as(value).reshape(n, groups, -1)
    count = mask.sum(-1, keepdim=True).clamp(min=1)
    mean = (rows * mask).sum(-1, keepdim=True) / count
    rstd = ((((rows - mean) * mask) ** 2).sum(-1, keepdim=True) / count + eps).rsqrt()
    out = ((rows - mean) * rstd * mask).reshape(value.shape)
    shape = [1, c] + [1] * (value.dim() - 2)
    out = out if weight is None else out * weight.view(shape)
    return (out if bias is None else out + bias.view(shape)), mean.flatten(1), rstd.flatten(1)


def zeroed_tensors(supernet: ofa.Supernet, arch: ofa.Arch) -> tuple[dict[str, Tensor], dict[tuple[str, int], Tensor]]:
    """Returns the parameters and float buffers that an Arch cuts, whole, with what it removes at zero.

    The second result are the removed entries as masks, by parameter and dimension.
    """
    tensors = {**dict(supernet.model.named_parameters()), **dict(supernet.model.named_buffers())}
    zeroed: dict[str, Tensor] = {}
    masks: dict[tuple[str, int], Tensor] = {}
    for group, units in zip(supernet.groups, supernet.units(arch), strict=True):
        for member in group.members if units < group.units else ():
            tensor = zeroed.get(member.source, tensors[member.source].detach())
            entries = torch.from_numpy(member.index[units:].reshape(-1).copy())
            if tensor.is_floating_point() or tensor.is_complex():
                zeroed[member.source] = tensor.index_fill(member.dim, entries, 0)
            mask = masks.setdefault((member.source, member.dim), torch.zeros(tensor.size(member.dim), dtype=torch.bool))
            mask[entries] = True
    return zeroed, masks


@contextmanager
def _passing(model: nn.Module, paths: Sequence[str]) -> Iterator[None]:
    """Lets blocks run, and puts the first of their inputs that they return a tensor of the shape of in its place."""

    def pass_through(module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Any:
        leaves, spec = tree_flatten(output)
        shapes = [leaf.shape if isinstance(leaf, Tensor) else None for leaf in leaves]
        hidden = next(x for x in [*args, *kwargs.values()] if isinstance(x, Tensor) and x.shape in shapes)
        at = shapes.index(hidden.shape)
        return tree_unflatten([*leaves[:at], hidden, *leaves[at + 1 :]], spec)

    handles = [model.get_submodule(path).register_forward_hook(pass_through, with_kwargs=True) for path in paths]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def masked_output(supernet: ofa.Supernet, arch: ofa.Arch, inputs: ofa.Inputs) -> Any:
    """Returns what the subnet of `arch` should return, computed with the full model."""
    dropped = [
        path
        for stage in supernet.structure.stages
        for path in stage.dropped(arch.depth.get(stage.name, len(stage.blocks)))
    ]
    zeroed, masks = zeroed_tensors(supernet, arch)
    removed: dict[int, list[Tensor]] = {}
    for mask in {tuple(mask.tolist()): mask for mask in masks.values()}.values():
        removed.setdefault(len(mask), []).append(mask)
    weights = {
        id(zeroed.get(name, tensor)): masks.get((name, 0), torch.zeros(len(tensor), dtype=torch.bool))
        for name, tensor in supernet.model.named_parameters()
        if tensor.dim() == 1
    }
    parameters = [zeroed.get(name, tensor) for name, tensor in supernet.model.named_parameters()]
    kernels = frozenset(tensor.untyped_storage().data_ptr() for tensor in parameters if tensor.dim() > 1)
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # one op for a whole layer hides its norms
    try:
        with torch.no_grad(), _passing(supernet.model, dropped), Masking(removed, weights, kernels, inputs.batch):
            return torch.func.functional_call(supernet.model, zeroed, inputs.args, dict(inputs.kwargs))
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)
