"""Means, norms and the like over the units that are kept alone, in a run of the full model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ofa.structure.chance import NoChance, without_chance
from ofa.structure.op_rules.mixing import NORMS, PRODUCTS, arguments, is_mixing
from ofa.structure.op_rules.names import ATTENTION_OPS, BATCH_NORM_OPS, SOFTMAX_OPS
from ofa.structure.trace import Mixing

Key = tuple[str, int, int]
# What to remove at a mixing: an operand's kept positions by dimension, or the mask of its removed entries.
Removals = Mapping[Key, tuple[Mixing, dict[int, Tensor] | Tensor]]


class UnevenRemoval(Exception):
    """Removed entries are not whole rows or columns of an operand, so no smaller operand holds the others."""


def removals(mixings: Mapping[Key, Mixing], removed: Tensor) -> Removals:
    """Returns what to remove where, given which labels are removed (bool, by label).

    Raises:
        UnevenRemoval: an operand of a reduction keeps entries that form no grid.
    """
    result: dict[Key, tuple[Mixing, dict[int, Tensor] | Tensor]] = {}
    highest = max((int(lane.max()) for mixing in mixings.values() for lane in mixing.lanes), default=0)
    if highest >= len(removed):  # labels of inputs come after those of weights, and stay
        removed = torch.cat([removed, removed.new_zeros(highest + 1 - len(removed))])
    for key, mixing in mixings.items():
        mask = removed[mixing.lanes[0]]
        for lane in mixing.lanes[1:]:
            mask = mask | removed[lane]
        if not bool(mask.any()):
            continue
        result[key] = (mixing, mask if mixing.op in PRODUCTS else _grid(mask, mixing))
    return result


def _grid(mask: Tensor, mixing: Mixing) -> dict[int, Tensor]:
    """The positions to keep along each dimension of which entries are removed."""
    positions = {}
    rest = mask
    for d in range(mask.dim()):
        if mask.size(d) > 1:
            gone = mask.movedim(d, 0).reshape(mask.size(d), -1).all(dim=1)
            if bool(gone.any()):
                positions[d] = (~gone).nonzero().squeeze(1)
                rest = rest.index_select(d, positions[d])
    if bool(rest.any()):
        raise UnevenRemoval(f"the units that are kept are no even part of what {mixing.op} runs over")
    return {d: indices for d, indices in positions.items() if d in mixing.dims}


class KeptOnly(NoChance):
    """Runs reductions, softmax and norms over kept entries alone, and products with removed entries at zero."""

    def __init__(self, what: Removals) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._removals = what
        self._path = [""]
        self._counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs one op."""
        kwargs = kwargs or {}
        if not self._removals or not is_mixing(func, args, kwargs):
            return without_chance(func, args, kwargs)
        path, name = self._path[-1], func.overloadpacket.__name__
        number = self._counts[path] = self._counts.get(path, -1) + 1
        changed = list(args)
        among: dict[int, dict[int, Tensor]] = {}  # of attention: kept positions by operand
        for i in PRODUCTS.get(name, (0, 1) if name in ATTENTION_OPS else (0,)):
            if (path, number, i) not in self._removals:
                continue
            mixing, what = self._removals[path, number, i]
            if mixing.op != name or mixing.shape != tuple(args[i].shape):
                raise UnevenRemoval(f"the full model runs another {name} than before")
            if isinstance(what, Tensor):
                changed[i] = args[i].masked_fill(what, 0)
            elif name in ATTENTION_OPS:
                among[i] = what
            elif what:
                return _over_kept(func, args, kwargs, what)
        return func(*changed, **kwargs) if not among else _attention(func, args, kwargs, among)

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Keeps the path of the module that runs, by hooks on a private copy."""
        handles: list[Any] = []
        for path, module in model.named_modules() if self._removals else ():
            handles.append(module.register_forward_pre_hook(lambda _m, _i, path=path: self._path.append(path)))
            handles.append(module.register_forward_hook(lambda _m, _i, _o: self._leave()))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leave(self) -> None:
        self._path.pop()


def _over_kept(func: Any, args: Any, kwargs: Any, positions: Mapping[int, Tensor]) -> Any:
    """Runs an op on the kept entries of its first operand; where its result has that shape, the rest of it is zero."""
    name, value = func.overloadpacket.__name__, args[0]
    chosen = value
    for d, indices in positions.items():
        chosen = chosen.index_select(d, indices)
    rest = list(args[1:])
    if name in ("native_layer_norm", "_fused_rms_norm"):
        first = value.dim() - len(rest[0])
        rest[0] = list(chosen.shape[first:])
        for i in (1, 2):
            if len(rest) > i and isinstance(rest[i], Tensor):
                for d, indices in positions.items():
                    rest[i] = rest[i].index_select(d - first, indices)
    elif name == "native_group_norm":
        indices = positions[1]
        rest[:2] = [None if weight is None else weight.index_select(0, indices) for weight in rest[:2]]
        rest[3] = len(indices)
    out = func(chosen, *rest, **kwargs)
    if name in SOFTMAX_OPS:
        return _spread(out, positions, value.shape)
    if name in NORMS or name in BATCH_NORM_OPS:
        return (_spread(out[0], positions, value.shape), *out[1:])
    return out


def _attention(func: Any, args: Any, kwargs: Any, by_operand: Mapping[int, Mapping[int, Tensor]]) -> Any:
    """Runs fused attention over the kept keys, scaled for the kept channels of queries."""
    given = arguments(func, args, kwargs)
    for positions in by_operand.get(0, {}).values():
        if given.get("scale") is None:
            given["scale"] = len(positions) ** -0.5
    for positions in by_operand.get(1, {}).values():
        for name in ("key", "value"):
            given[name] = given[name].index_select(-2, positions)
        for name in ("attn_mask", "attn_bias"):
            if given.get(name) is not None and given[name].size(-1) > 1:
                given[name] = given[name].index_select(-1, positions)
    return func(**given)


def _spread(result: Tensor, positions: Mapping[int, Tensor], shape: torch.Size) -> Tensor:
    for d, indices in positions.items():
        size = list(result.shape)
        size[d] = shape[d]
        result = result.new_zeros(size).index_copy_(d, indices, result)
    return result
