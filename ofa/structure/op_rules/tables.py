"""Lookup: embeddings, indexing, gathering, sorting and scattering move entries along the dimensions that they index.

Labels along such a dimension stay, or move as the entries do; labels along the others pass. What an index itself was
made of stays, too: its values count entries of the full model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules._elementwise import elementwise, fix_all, merge
from ofa.structure.tracer import Tracer


def embedding(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """embedding(weight, indices, ...) and the bags of it: the vocabulary stays, the width goes on."""
    table = args[0]
    result = out[0] if isinstance(out, (list, tuple)) else out
    for lane in tracer.lanes(table):
        if 0 in lanes.varying(lane):
            tracer.trace.fix(lane, tracer.reason("is the vocabulary, whose rows are chosen by index"))
    fix_all(tracer, args[1:3], "holds indices")
    width = [lane for lane in tracer.lanes(table) if lanes.varying(lane) == (1,)]
    tracer.label(result, [lanes.along(lanes.first_along(lane, 1), result.dim() - 1, result.shape) for lane in width])


def index(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """value[indices], by any number of index tensors or masks: labels move as the values do."""
    value, indices = args[0], args[1]
    fix_all(tracer, [part for part in indices if part is not None], "holds indices")
    tracer.label(out, [lanes.tidy(func(lane, indices)) for lane in tracer.lanes(value)])


def gather(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """gather(value, dim, index): each entry comes from its own place along the other dimensions."""
    value, chosen = args[0], args[2]
    dim = args[1] % max(1, value.dim())
    looked_up = [lane for lane in tracer.lanes(value) if dim in lanes.varying(lane)]
    for lane in looked_up:
        tracer.trace.fix(lane, tracer.reason("is looked up by an index"))
    moved = [lanes.tidy(func(lane, dim, chosen)) for lane in tracer.lanes(value) if dim not in lanes.varying(lane)]
    labeled = {d for lane in tracer.lanes(chosen) for d in lanes.varying(lane)}
    for lane in moved:
        bare = [d for d in lanes.varying(lane) if d not in labeled and not _is_alike(chosen, d)]
        tracer.trace.stay_along(lane, bare, tracer.reason("meets values that no weight made"))
    tracer.label(out, merge(tracer, moved, list(tracer.lanes(chosen))))


def _is_alike(value: Tensor, dim: int) -> bool:
    """Whether the entries do not change along a dimension: an index that was expanded or repeated there."""
    return value.stride(dim) == 0 or bool((value == value.narrow(dim, 0, 1)).all())


def select_rows(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """index_select(value, dim, index): labels move as the values do."""
    fix_all(tracer, [args[2]], "holds indices")
    tracer.label(out, [lanes.tidy(func(lane, *args[1:])) for lane in tracer.lanes(args[0])])


def ordered(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """sort, topk, kthvalue and cumulative extrema along one dimension: the others pass, to values and to indices."""
    value = args[0]
    named = dict(zip((part.name for part in func._schema.arguments), args, strict=False)) | kwargs
    dim = int(named.get("dim", -1)) % max(1, value.dim())
    passing = []
    for lane in tracer.lanes(value):
        if dim in lanes.varying(lane):
            tracer.trace.fix(lane, tracer.reason("is put in order"))
        else:
            passing.append(lane)
    for result in out if isinstance(out, (list, tuple)) else [out]:
        if result.dim() == value.dim():
            tracer.label(result, [lanes.squeeze_to(lane, result.shape, [dim]) for lane in passing])
        else:
            tracer.label(result, [lane.select(dim, 0) for lane in passing])


def scatter(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """scatter, index_add, index_copy of (value, dim, index, source): labels along `dim` stay, the others are tied."""
    value, chosen = args[0], args[2]
    dim = args[1] % max(1, value.dim())
    fix_all(tracer, [chosen], "holds indices")
    written = [value, *(part for part in args[3:4] if isinstance(part, Tensor))]
    beside = []
    for tensor in written:
        row = tensor.narrow(dim, 0, 1)
        for lane in tracer.lanes(tensor):
            if dim in lanes.varying(lane):
                tracer.trace.fix(lane, tracer.reason("is written to by an index"))
        tracer.label(row, [lane.narrow(dim, 0, 1) for lane in tracer.lanes(tensor) if dim not in lanes.varying(lane)])
        if tracer.is_uniform(tensor):
            tracer.set_uniform(row)
        beside.append(row)
    whole = torch.empty(1, dtype=out.dtype).expand(beside[0].shape)
    elementwise(tracer, beside, [whole])
    tracer.label(out, [lane.expand(out.shape) for lane in tracer.lanes(whole)])


TABLE_RULES: dict[str, Any] = {
    "embedding": embedding,
    "_embedding_bag": embedding,
    "_embedding_bag_forward_only": embedding,
    "index": index,
    "_unsafe_index": index,
    "gather": gather,
    "index_select": select_rows,
    **dict.fromkeys(
        ("sort", "topk", "kthvalue", "cummax", "cummin", "logcumsumexp", "argsort", "median", "mode"), ordered,
    ),
    **dict.fromkeys(
        ("scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "index_add", "index_add_",
         "index_copy", "index_copy_"), scatter,
    ),
}  # fmt: skip
