"""Windows, sampling, Fourier transforms, complex numbers, gated halves, distances, bilinear products."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.structure import lanes
from ofa.structure.op_rules._elementwise import elementwise, fix_all
from ofa.structure.op_rules.matrix_products import contract
from ofa.structure.tracer import Tracer


def _passing(tracer: Tracer, value: Tensor, dims: Collection[int], why: str) -> list[Tensor]:
    """Returns the lanes that do not vary along `dims`; fixes the others."""
    passing = []
    for lane in tracer.lanes(value):
        if set(lanes.varying(lane)) & set(dims):
            tracer.trace.fix(lane, tracer.reason(why))
        else:
            passing.append(lane)
    return passing


def fourier(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """_fft_r2c, _fft_c2r and _fft_c2c over args[1]: what is transformed stays, the other dimensions pass."""
    dims = [d % args[0].dim() for d in args[1]]
    passing = _passing(tracer, args[0], dims, "goes through a Fourier transform, where every entry needs all")
    tracer.label(out, [lanes.squeeze_to(lane, out.shape, dims) for lane in passing])


def as_real(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """view_as_real: a last dimension of (real, imaginary) is added."""
    tracer.label(out, [lane.unsqueeze(-1).expand(out.shape) for lane in tracer.lanes(args[0])])


def as_complex(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """view_as_complex: the real and the imaginary part stay or go together."""
    new = []
    for lane in tracer.lanes(args[0]):
        if lane.dim() - 1 in lanes.varying(lane):
            tracer.trace.meet(lane.select(-1, 0), lane.select(-1, 1), tracer.reason("meets a constant"))
        new.append(lane.select(-1, 0))
    tracer.label(out, new)


def windows(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """im2col of (N, C, H, W): each channel becomes one entry for each position of the kernel."""
    value = args[0]
    passing = _passing(tracer, value, range(value.dim() - 2, value.dim()), "is cut into windows")
    times = out.size(-2) // max(1, value.size(-3))
    new = []
    for lane in passing:
        first = lane.narrow(-1, 0, 1).narrow(-2, 0, 1).squeeze(-1)
        new.append(lanes.tidy(first.repeat_interleave(times, -2)).expand(out.shape))
    tracer.label(out, new)


def from_windows(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """col2im of (N, C k k, L): the entries of a channel are summed into it."""
    value = args[0]
    passing = _passing(tracer, value, [value.dim() - 1], "is cut into windows")
    new = []
    for lane in passing:
        entries = lane.narrow(-1, 0, 1).reshape(*lane.shape[:-2], out.size(-3), -1)
        tracer.trace.meet(entries[..., :1], entries, tracer.reason("meets a constant"))
        new.append(lanes.tidy(entries[..., :1].unsqueeze(-1)).expand(out.shape))
    tracer.label(out, new)


def sampled(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """grid_sampler of (N, C, ...) at a grid of positions: channels pass, what the grid was made of stays."""
    value, grid = args[0], args[1]
    fix_all(tracer, [grid], "says where to sample")
    dims = range(2, value.dim())
    passing = _passing(tracer, value, dims, "is sampled over")
    tracer.label(out, [lanes.squeeze_to(lane, out.shape, dims) for lane in passing])


def gated_halves(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """glu: the first half along a dimension times the sigmoid of the second, so these stay or go together."""
    value = args[0]
    dim = (args[1] if len(args) > 1 else kwargs.get("dim", -1)) % value.dim()
    new = []
    for lane in tracer.lanes(value):
        first, second = lane.chunk(2, dim)
        if dim in lanes.varying(lane):
            tracer.trace.meet(first, second, tracer.reason("meets a constant"))
            tracer.trace.grids.append(lanes.compact(torch.stack([first, second])).squeeze())
        new.append(first)
    tracer.label(out, new)


def cross(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """linalg_cross: elementwise but for the dimension of three, which stays."""
    dim = kwargs.get("dim", args[2] if len(args) > 2 else -1) % out.dim()
    before = {id(value): tracer.lanes(value) for value in args[:2]}
    for value in args[:2]:
        tracer.label(value, _passing(tracer, value, [dim - out.dim() + value.dim()], "is multiplied crosswise"))
    elementwise(tracer, list(args[:2]), [out])
    for value in args[:2]:
        tracer.label(value, before[id(value)])


def distance(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """cdist of (..., n, d) and (..., m, d): a contraction over d that costs no multiply-accumulates."""
    first, second = args[0], args[1]
    turned = [lane.transpose(-1, -2) for lane in tracer.lanes(second)]
    tracer.label(out, contract(tracer, tracer.lanes(first), turned, first.size(-1), out.shape)[0])


def bilinear(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """_trilinear of three values, each with dimensions inserted: their product, summed over some dimensions."""
    factors, summed = [], sorted(args[6], reverse=True)
    for value, inserted in zip(args[:3], args[3:6], strict=True):
        spread, value_lanes = value, list(tracer.lanes(value))
        for d in inserted:
            spread, value_lanes = spread.unsqueeze(d), [lane.unsqueeze(d) for lane in value_lanes]
        tracer.label(spread, value_lanes)
        factors.append(spread)
    shape = np.broadcast_shapes(*(spread.shape for spread in factors))
    product = torch.empty(1, dtype=out.dtype).expand(shape)
    elementwise(tracer, factors, [product])
    new = []
    for lane in tracer.lanes(product):
        first = lane
        for d in summed:
            first = first.narrow(d, 0, 1)
        if lanes.varying(first) and lanes.varying(first) != lanes.varying(lane):
            tracer.trace.meet(first, lane, tracer.reason("meets a constant"))
        for d in summed:
            first = first.squeeze(d)
        new.append(first)
    tracer.label(out, [lane.expand(out.shape) for lane in new])


def put(tracer: Tracer, func: Any, args: Any, kwargs: Any, out: Tensor) -> None:
    """value[indices] = new: the labels written are tied to those that they replace."""
    value, indices, new = args[0], args[1], args[2]
    fix_all(tracer, [part for part in indices if part is not None], "holds indices")
    if not tracer.lanes(value) and tracer.lanes(new):
        fix_all(tracer, [new], "is written to by an index")
    elif new.numel() > 1:
        picked = [lanes.tidy(torch.ops.aten.index(lane, indices)) for lane in tracer.lanes(value)]
        shape = torch.ops.aten.index(torch.empty(1).expand(value.shape), indices).shape
        replaced = torch.empty(1).expand(shape)
        tracer.label(replaced, picked)
        elementwise(tracer, [replaced, new], [replaced])
    tracer.label(out, tracer.lanes(value))


TRANSFORM_RULES: dict[str, Any] = {
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), fourier),
    "view_as_real": as_real,
    "view_as_complex": as_complex,
    "im2col": windows,
    "col2im": from_windows,
    **dict.fromkeys(("grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler"), sampled),
    "glu": gated_halves,
    "linalg_cross": cross,
    "_trilinear": bilinear,
    **dict.fromkeys(("_euclidean_dist", "_cdist_forward"), distance),
    **dict.fromkeys(("index_put", "index_put_", "_unsafe_index_put"), put),
}
