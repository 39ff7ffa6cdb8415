"""Everything that the table says about one model, measured in one process of its own."""

from __future__ import annotations

import copy
import io
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten
from torch.utils.flop_counter import FlopCounterMode

import ofa
from benchmarks.collection.entry import Entry
from benchmarks.judging.masked import masked_output
from benchmarks.judging.precision import in_double
from benchmarks.judging.rival import removed_by_torch_pruning
from ofa.inspection import inspect

EVERY_WIDTH = ofa.SpaceRules(width_ratios=None, multiple_of=1)
Row = dict[str, Any]


def measure(entry: Entry, archs: int, seconds: float, keep: Callable[[Row], None]) -> None:
    """Measures a model, and hands the row on after every step, so that a step that never ends costs only itself.

    Args:
        entry: of the collection. archs: subnets to compare. seconds: no comparison begins after these.
        keep: called with the row so far.
    """
    row: Row = {"model": entry.name, "family": entry.family}
    torch.manual_seed(0)
    model, example = entry.make()
    inputs = ofa.Inputs(*example.args, **example.kwargs)
    original = copy.deepcopy(model)
    row["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    row["faults"] = faults = {}
    keep(row)
    start = time.process_time()
    try:
        supernet = ofa.Supernet(model.eval(), inputs, EVERY_WIDTH)
    except ofa.InvalidInput as error:
        row["refused"] = str(error).splitlines()[0]
    except Exception as error:
        faults["convert"] = _fault(error)
    row["seconds"] = round(time.process_time() - start, 2)
    keep(row)
    steps: dict[str, Callable[[], Row]] = {}
    if "refused" not in row and "convert" not in faults:
        row["supernet"] = True
        steps = {
            "counts": lambda: counts(supernet),
            "parity": lambda: parity(supernet, inputs, archs, seconds),
            "cost": lambda: cost(supernet, inputs, archs, seconds / 3),
            "gradients": lambda: {"gradients": gradients(supernet, inputs)},
            "trains": lambda: {"trains": trains(supernet, inputs)},
            "export": lambda: {"export": exported(supernet, inputs)},
            "onnx": lambda: {"onnx": to_onnx(supernet, inputs)},
        }
    steps["rival"] = lambda: {"torch_pruning": removed_by_torch_pruning(original, inputs)}
    for name, step in steps.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                row |= step()
        except Exception as error:
            faults[name] = _fault(error)
        keep(row)
    row["done"] = True
    keep(row)


def _fault(error: Exception) -> str:
    """Returns an error's class, its first line and where it was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    line = (str(error).strip() or "-").splitlines()[0][:160]
    return f"{type(error).__name__}: {line} ({Path(last.filename).name}:{last.lineno})"


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


def _tensors(output: Any) -> list[Tensor]:
    return [value for value in tree_flatten(output)[0] if isinstance(value, Tensor)]


def difference(first: Any, second: Any) -> float:
    """Returns the largest difference of two outputs, relative to each tensor's largest number; inf if of other form."""
    ones, others = _tensors(first), _tensors(second)
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
    start, compared, against_copy, against_full, worst = time.process_time(), 0, 0.0, 0.0, ""
    for arch in drawn:
        if compared and time.process_time() - start > seconds:
            break
        with torch.no_grad():
            view = double.call(supernet.subnet(arch).eval())
            copied = double.call(supernet.extract(arch).eval())
        against_copy = max(against_copy, difference(view, copied))
        gap = difference(view, masked_output(supernet, arch, double))
        against_full, worst = max(against_full, gap), str(arch)[:400] if gap > against_full else worst
        compared += 1
    row: Row = {"double": is_double, "archs": compared, "view_against_copy": against_copy}
    row["view_against_full"] = against_full
    if against_full > (1e-10 if is_double else 1e-5):
        row["worst_arch"] = worst
    return row


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
        net = supernet.extract(arch).eval()
        with torch.no_grad(), counted_kernels(), FlopCounterMode(display=False) as counter:
            called.call(net)
        right = counter.get_total_flops() / 2 / inputs.batch
        same_size = int(size) == sum(parameter.numel() for parameter in net.parameters())
        equal += right == int(macs) and same_size
        ratio = int(macs) / right if right else float(int(macs) == 0)
        worst = ratio if abs(ratio - 1) > abs(worst - 1) else worst
        compared += 1
    return {"cost_equal": equal, "cost_compared": compared, "cost_worst_ratio": round(worst, 4)}


def _loss(output: Any) -> Tensor:
    return sum((value.float() ** 2).mean() for value in _tensors(output) if value.requires_grad)  # type: ignore[return-value]


def gradients(supernet: ofa.Supernet, inputs: ofa.Inputs) -> bool:
    """Returns whether backward through the largest view reaches exactly the parameters that the plain model's does."""
    supernet.model.float().zero_grad()
    _loss(inputs.call(supernet.model)).backward()
    plain = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    supernet.model.zero_grad()
    _loss(inputs.call(supernet.subnet(supernet.space.largest))).backward()
    through = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    supernet.model.zero_grad()
    _loss(inputs.call(supernet.subnet(supernet.space.smallest))).backward()
    small = {name for name, parameter in supernet.model.named_parameters() if parameter.grad is not None}
    supernet.model.zero_grad()
    return bool(plain) and through == plain and bool(small) and small <= plain


def trains(supernet: ofa.Supernet, inputs: ofa.Inputs) -> str:
    """Returns "yes" where the smallest subnet and its copy run in train mode, "nor the model" or what went wrong."""

    def difference_of(net: nn.Module) -> float:
        _loss(inputs.call(net.train())).backward()
        return 0.0

    smallest = supernet.space.smallest
    said = [
        _same_as_the_model(supernet, difference_of, 0.0, net)
        for net in (supernet.subnet(smallest), supernet.extract(smallest))
    ]
    supernet.model.zero_grad()
    return next((what for what in said if what != "yes"), "yes")


def _random_copy(supernet: ofa.Supernet) -> nn.Module:
    return supernet.extract(supernet.space.sample(np.random.default_rng(2))).float().eval()


def exported(supernet: ofa.Supernet, inputs: ofa.Inputs) -> str:
    """Returns "yes" where torch.export gives the same numbers as a copy, "nor the model" or what went wrong."""

    def difference_of(net: nn.Module) -> float:
        with torch.no_grad():
            program = torch.export.export(net, inputs.args, dict(inputs.kwargs), strict=False)
            return difference(inputs.call(program.module()), inputs.call(net))

    return _same_as_the_model(supernet, difference_of, 1e-4)


def to_onnx(supernet: ofa.Supernet, inputs: ofa.Inputs) -> str:
    """Returns "yes" where ONNX Runtime gives the same numbers, "nor the model" or what went wrong."""

    def difference_of(net: nn.Module) -> float:
        import onnxruntime

        buffer, was_fast = io.BytesIO(), torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.no_grad():
                names = [f"input_{name}" for name in inputs.tensors()]
                torch.onnx.export(
                    net,
                    inputs.args,
                    buffer,
                    kwargs=dict(inputs.kwargs),
                    dynamo=False,
                    opset_version=18,
                    input_names=names,
                )
                expected = [value.numpy() for value in _tensors(inputs.call(net))]
        finally:
            torch.backends.mha.set_fastpath_enabled(was_fast)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        session = onnxruntime.InferenceSession(buffer.getvalue(), options, providers=["CPUExecutionProvider"])
        known = {entry.name for entry in session.get_inputs()}
        feed = {f"input_{name}": tensor.numpy() for name, tensor in inputs.tensors().items()}
        feed = {name: value for name, value in feed.items() if name in known}
        return difference(
            [torch.from_numpy(value) for value in session.run(None, feed)], list(map(torch.from_numpy, expected))
        )

    return _same_as_the_model(supernet, difference_of, 1e-3)


def _same_as_the_model(
    supernet: ofa.Supernet, difference_of: Callable[[nn.Module], float], most: float, net: nn.Module | None = None
) -> str:
    """Judges what becomes of a random copy, or `net`; where it fails, the user's own model says whose fault it is."""
    try:
        gap = difference_of(_random_copy(supernet) if net is None else net)
        if gap <= most:
            return "yes"
        problem = f"off by {gap:.1e}"
    except Exception as error:
        problem = _fault(error)
    try:
        if difference_of(supernet.extract(supernet.space.largest).float().eval()) <= most:
            return problem
        return "nor the model"
    except Exception:
        return "nor the model"
