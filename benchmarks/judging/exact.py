"""What must be exact in a supernet: equal outputs, equal costs, and gradients of the same parameters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

import ofa
from benchmarks.judging.masked import masked_output
from benchmarks.judging.precision import in_double
from ofa.inspection import inspect

Row = dict[str, Any]


def counts(supernet: ofa.Supernet) -> Row:
    """Returns how much of a supernet is elastic, and why the rest is not."""
    found = inspect(supernet)
    named = dict(supernet.model.named_parameters())
    elastic = {member.source for group in supernet.groups for member in group.members}
    smallest = sum(parameter.numel() for parameter in supernet.extract(supernet.space.smallest).parameters())
    by_name = {group.name: group for group in supernet.groups}
    widths = [choice for choice in supernet.space.choices if choice.kind == "width"]
    return {
        "weights": sum(tensor.dim() >= 2 for tensor in named.values()),
        "elastic_weights": sum(tensor.dim() >= 2 and name in elastic for name, tensor in named.items()),
        "removable": round(1 - smallest / found.parameters, 4),
        "widths": len(widths),
        "whole_units": sum(by_name[choice.name].channels_per_unit > 1 for choice in widths),
        "depths": sum(choice.kind == "depth" for choice in supernet.space.choices),
        "trial": dict(supernet.refused),
        "fixed": {
            f"{why.reason} ({', '.join(why.layers[:2])}, ...)": round(why.parameters / found.parameters, 3)
            for why in found.obstacles[:8]
        },
    }


def tensors_of(output: Any) -> list[Tensor]:
    """Returns the tensors of an output of any form."""
    return [value for value in tree_flatten(output)[0] if isinstance(value, Tensor)]


def difference(first: Any, second: Any) -> float:
    """Returns the largest difference of two outputs, relative to each tensor's largest number; inf if of other form."""
    ones, others = tensors_of(first), tensors_of(second)
    if [tuple(one.shape) for one in ones] != [tuple(other.shape) for other in others]:
        return float("inf")
    worst = 0.0
    for one, other in zip(ones, others, strict=True):
        if not one.numel():
            continue
        if not one.is_floating_point():
            worst = max(worst, 0.0 if torch.equal(one, other) else float("inf"))
            continue
        if not bool(torch.isfinite(other).all()) and torch.equal(one.isfinite(), other.isfinite()):
            one, other = one[one.isfinite()], other[other.isfinite()]
        gap = (one - other).abs().max() if one.numel() else torch.zeros(())
        scale = max(float(other.abs().max()) if other.numel() else 0.0, 1e-30)
        worst = max(worst, float("inf") if not bool(torch.isfinite(gap)) else float(gap) / scale)
    return worst


def parity(supernet: ofa.Supernet, inputs: ofa.Inputs, archs: int, seconds: float) -> Row:
    """Returns how far views, extracted copies and the masked full model are apart, over random Archs."""
    double, is_double = in_double(supernet, inputs)
    rng = np.random.default_rng(0)
    drawn = [supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(archs - 1))]
    start, compared, against_copy, against_full, worst = time.process_time(), 0, 0.0, 0.0, drawn[0]
    for arch in drawn:
        if compared and time.process_time() - start > seconds:
            break
        with torch.no_grad():
            view = double.call(supernet.subnet(arch).eval())
            copied = double.call(supernet.extract(arch).eval())
        against_copy = max(against_copy, difference(view, copied))
        gap = difference(view, masked_output(supernet, arch, double))
        against_full, worst = max(against_full, gap), arch if gap > against_full else worst
        compared += 1
    row: Row = {"double": is_double, "archs": compared, "view_against_copy": against_copy}
    row["view_against_full"] = against_full
    if against_full > (1e-10 if is_double else 1e-5):
        row["worst_arch"] = str(worst)[:400]
        row["rounding"] = rounding(supernet.extract(worst).eval(), double)
    return row


def rounding(network: nn.Module, inputs: ofa.Inputs) -> float:
    """Returns how far a network's output moves when each of its weights moves to a neighboring number."""
    generator = torch.Generator().manual_seed(0)
    moved = {}
    for name, weight in network.named_parameters():
        step = torch.randint(0, 2, weight.shape, generator=generator) * 2 - 1
        value = weight.detach()
        moved[name] = torch.nextafter(value, value + step) if value.is_floating_point() else value
    with torch.no_grad():
        other = torch.func.functional_call(network, moved, inputs.args, dict(inputs.kwargs))
        return difference(other, inputs.call(network))


@contextmanager
def counted_kernels() -> Iterator[None]:
    """Uses kernels that the FLOP counter knows: attention as two products, recurrent layers as linear ones."""
    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.backends.mkldnn.flags(enabled=False):  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(was_fast)


def cost(supernet: ofa.Supernet, inputs: ofa.Inputs, archs: int, seconds: float) -> Row:
    """Returns for how many Archs `ofa.cost` equals what a forward counts, and the worst ratio of the two."""
    double = next(supernet.model.parameters()).dtype == torch.float64
    called = inputs.map(lambda t: t.double() if double and t.is_floating_point() else t)
    rng = np.random.default_rng(1)
    drawn = [supernet.space.largest, supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(archs - 2))]
    said = ofa.cost(supernet, drawn)
    start, equal, compared, worst = time.process_time(), 0, 0, 1.0
    for arch, macs, size in zip(drawn, said["macs"], said["params"], strict=True):
        if compared and time.process_time() - start > seconds:
            break
        net = supernet.extract(arch).eval().requires_grad_(False)  # the counter wants a history of what requires it
        with torch.no_grad(), counted_kernels(), FlopCounterMode(display=False) as counter:
            called.call(net)
        right = counter.get_total_flops() / 2 / inputs.batch
        same_size = int(size) == sum(parameter.numel() for parameter in net.parameters())
        equal += right == int(macs) and same_size
        ratio = int(macs) / right if right else float(int(macs) == 0)
        worst = ratio if abs(ratio - 1) > abs(worst - 1) else worst
        compared += 1
    return {"cost_equal": equal, "cost_compared": compared, "cost_worst_ratio": round(worst, 4)}


def loss_of(output: Any) -> Tensor:
    """Returns a number that depends on all of an output."""
    return sum((value.float() ** 2).mean() for value in tensors_of(output) if value.requires_grad)  # type: ignore[return-value]


def gradients(supernet: ofa.Supernet, inputs: ofa.Inputs) -> bool:
    """Returns whether backward through the largest view reaches exactly the parameters that the plain model's does."""
    supernet.model.float().zero_grad()
    loss_of(inputs.call(supernet.model)).backward()
    plain = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    supernet.model.zero_grad()
    loss_of(inputs.call(supernet.subnet(supernet.space.largest))).backward()
    through = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    supernet.model.zero_grad()
    loss_of(inputs.call(supernet.subnet(supernet.space.smallest))).backward()
    small = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    supernet.model.zero_grad()
    return bool(plain) and through == plain and bool(small) and small <= plain
