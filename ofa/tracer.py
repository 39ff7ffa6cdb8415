"""Runs any eager model once with labels beside every value, by intercepting its ATen ops."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from ofa import lanes, op_rules
from ofa.trace import Call, Contraction, Lanes, Trace

_TORCH = str(Path(torch.__file__).parent)
_OWN = (__file__, str(Path(op_rules.__file__).parent))


def user_line() -> str:
    """Returns "file.py:12 `source`" of the innermost frame that is neither torch's nor the tracer's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_TORCH, *_OWN, "<")):
            return _place(name, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return "an unknown place"


def error_line(error: BaseException) -> str:
    """Returns the innermost line of the user's code in an error's traceback, as `user_line` does."""
    found, trace = "an unknown place", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith((_TORCH, *_OWN, "<")):
            found = _place(name, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _place(filename: str, line: int) -> str:
    source = linecache.getline(filename, line).strip()
    return f"{Path(filename).name}:{line}" + (f" `{source}`" if source else "")


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Carries lanes, uniformity and residual flow beside every tensor of one run; op rules read and write them."""

    def __init__(self, trace: Trace, batch: int, grouped: frozenset[str] = frozenset()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.trace = trace
        self.batch = batch
        self.grouped = grouped
        self.path: list[str] = [""]
        self.op = ""
        self._lanes: dict[int, tuple[Tensor, Lanes]] = {}
        self._uniform: dict[int, Tensor] = {}
        self._flow: dict[int, dict[int, bool]] = {}
        self._storages: dict[int, tuple[str, int]] = {}
        self._foreign: dict[int, str] = {}
        self._calls = 0

    # -- what rules read and write ------------------------------------------------------------

    def lanes(self, value: Any) -> Lanes:
        """Returns the lanes of a value; none for what has no labels."""
        found = self._lanes.get(id(value))
        return found[1] if found is not None else ()

    def label(self, value: Tensor, new: Sequence[Tensor]) -> None:
        """Sets the lanes of a value (and keeps it alive, since lanes are found by identity)."""
        self._lanes[id(value)] = (value, tuple(lane for lane in new if lanes.varying(lane)))

    def is_uniform(self, value: Tensor) -> bool:
        """Whether the value is the same number everywhere, so that it says nothing of any index."""
        return id(value) in self._uniform

    def set_uniform(self, value: Tensor) -> None:
        """Marks a value as the same number everywhere."""
        self._uniform[id(value)] = value

    def flow(self, value: Tensor) -> dict[int, bool]:
        """Returns which module calls' inputs reach this value by identity, and whether something was added."""
        return self._flow.get(id(value), {})

    def set_flow(self, value: Tensor, flow: dict[int, bool]) -> None:
        """Sets what `flow` returns."""
        if flow:
            self._flow[id(value)] = flow

    def source_of(self, weight: Tensor) -> str | None:
        """Returns the name of the parameter that `weight` is, whole, perhaps transposed or reshaped."""
        name, size = self._storages.get(_storage(weight), ("", -1))
        return name if weight.numel() == size else None

    def reason(self, what: str) -> str:
        """Returns "what, in op at file.py:12 `source`"."""
        return f"{what}, in {self.op} at {user_line()}"

    def contraction(self, weight: Tensor, positions: int, macs: int) -> None:
        """Records a multiply-accumulate op: its weight's uses, or its whole count where there is no such weight."""
        name = self.source_of(weight)
        self.trace.contractions.append(
            Contraction(self.path[-1], name, positions // self.batch, 0 if name else macs // self.batch)
        )

    # -- the run ------------------------------------------------------------------------------

    def add_source(self, name: str, tensor: Tensor, labels: Sequence[Tensor | None]) -> None:
        """Gives a parameter or buffer its labels, one 1-d tensor a dimension (None: not labelled)."""
        new = [lanes.along(label, d, tensor.shape) for d, label in enumerate(labels) if label is not None]
        self.label(tensor, new)
        if tensor.numel():
            self._storages[_storage(tensor)] = (name, tensor.numel())

    def add_foreign(self, name: str, tensor: Tensor) -> None:
        """Marks a tensor that this run must not touch."""
        self._foreign[id(tensor)] = name

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.op = str(func.overloadpacket)
        inputs = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        for value in inputs:
            if id(value) in self._foreign:
                self.trace.foreign.add(self._foreign[id(value)])
            name = self._storages.get(_storage(value), ("", 0))[0]
            if name and id(value) in self._lanes:
                self.trace.order.setdefault(name, len(self.trace.order))
        op_rules.apply(self, func, args, kwargs, inputs, out)
        return out

    def enter(self, path: str, inputs: tuple[Any, ...]) -> None:
        """Notes that a module's forward begins."""
        self._calls += 1
        self.path.append(path)
        if len(inputs) == 1 and isinstance(inputs[0], Tensor):
            value = inputs[0]
            self._lanes.setdefault(id(value), (value, ()))
            self._flow[id(value)] = {**self.flow(value), self._calls: False}

    def leave(self, path: str, number: int, inputs: tuple[Any, ...], output: Any) -> None:
        """Notes that a module's forward ended."""
        self.path.pop()
        same = (
            len(inputs) == 1
            and isinstance(inputs[0], Tensor)
            and isinstance(output, Tensor)
            and inputs[0].shape == output.shape
        )
        self.trace.calls.append(Call(path, same and self.flow(output).get(number, False)))

    def number(self) -> int:
        """Returns the number of the module call that was entered last."""
        return self._calls


def _storage(value: Tensor) -> int:
    return int(value.untyped_storage()._cdata)


def run(
    model: nn.Module,
    example: Tensor,
    labelled: Mapping[str, tuple[Tensor, Sequence[Tensor | None]]],
    *,
    grouped: frozenset[str] = frozenset(),
    foreign: Mapping[str, Sequence[Tensor]] | None = None,
    input_label: int | None = None,
) -> tuple[Trace, Any]:
    """Returns the trace and the output of `model(example)`, run in eval mode without gradients.

    `model` must be a private copy or a view: hooks are put on its modules and taken off again.
    `labelled` holds each parameter and buffer with its labels by dimension; touching a `foreign` tensor is
    written down. The input's labels count from `input_label` along every dimension but the first, and stay.
    """
    trace = Trace(grouped=set())
    tracer = Tracer(trace, batch=max(1, example.shape[0]), grouped=grouped)
    for name, (tensor, labels) in labelled.items():
        tracer.add_source(name, tensor, labels)
    for name, tensors in (foreign or {}).items():
        for tensor in tensors:
            tracer.add_foreign(name, tensor)
    if input_label is not None:
        new = []
        for d in range(1, example.dim()):
            ids = torch.arange(input_label, input_label + example.size(d))
            trace.fix(ids, "is the network's input")
            new.append(lanes.along(ids, d, example.shape))
            input_label += example.size(d)
        tracer.label(example, new)
    handles = _watch(model, tracer)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), tracer:
            output = model(example)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
        for handle in handles:
            handle.remove()
    for value in tree_flatten(output)[0]:
        if isinstance(value, Tensor):
            for lane in tracer.lanes(value):
                trace.fix(lane, "is the network's output")
    return trace, output


def _watch(model: nn.Module, tracer: Tracer) -> list[Any]:
    """Puts hooks on every module that keep the tracer's path; returns their handles."""
    handles: list[Any] = []
    for path, module in model.named_modules():
        enter, leave = _hooks(path, tracer)
        handles += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    return handles


def _hooks(path: str, tracer: Tracer) -> tuple[Callable[..., None], Callable[..., None]]:
    numbers: list[int] = []

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        tracer.enter(path, inputs)
        numbers.append(tracer.number())

    def leave(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        tracer.leave(path, numbers.pop(), inputs, output)

    return enter, leave
