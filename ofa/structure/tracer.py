"""The tracer: labels beside every value of one run of a model, by intercepting its ATen ops."""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakTensorKeyDictionary

from ofa.computed_weights import is_inside
from ofa.structure import lanes
from ofa.structure.chance import without_chance
from ofa.structure.containers import Way, leaves
from ofa.structure.passing import block_passing
from ofa.structure.trace import Call, Contraction, Factor, Lanes, Trace

_TORCH = str(Path(torch.__file__).parent)
_FOLDER = Path(__file__).parent.parent
_OWN = ("structure", "trial", "views", "recipes", "supernet.py", "inputs.py", "modes.py", "one_of.py")
_TRACER_FILES = tuple(str(_FOLDER / name) for name in _OWN)


def user_line() -> str:
    """Returns "file.py:12 `source`" of the innermost frame that is neither torch's nor the tracer's."""
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith((_TORCH, *_TRACER_FILES, "<")):
            return _location(name, frame.f_lineno)
        frame = frame.f_back  # type: ignore[assignment]
    return "an unknown place"


def error_line(error: BaseException) -> str:
    """Returns the innermost line of the user's code in an error's traceback, as `user_line` does."""
    location, trace = "an unknown place", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if not name.startswith((_TORCH, *_TRACER_FILES, "<")):
            location = _location(name, trace.tb_lineno)
        trace = trace.tb_next
    return location


def _location(filename: str, line: int) -> str:
    source = linecache.getline(filename, line).strip()
    return f"{Path(filename).name}:{line}" + (f" `{source}`" if source else "")


# By (number of a call, way to one of its arguments): whether something was added to it.
Flow = dict[tuple[int, Way], bool]
# Labels the outputs of one op: (tracer, op, its positional and keyword arguments, the tensors among them, its result).
Rule = Callable[["Tracer", Any, Any, Any, list[Tensor], Any], None]


class Tracer(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Carries lanes, uniformity and residual flow beside every tensor of one run; op rules read and write them."""

    def __init__(self, trace: Trace, batch: int, rule: Rule, grouped: frozenset[str] = frozenset()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._rule = rule
        self.trace = trace
        self.batch = batch
        self.grouped = grouped
        self.path: list[str] = [""]
        self.op = ""
        self.counts: dict[str, int] = {}
        # By identity, without keeping a value: the model's own run frees what it needs no more.
        self._lanes: MutableMapping[Tensor, Lanes] = WeakTensorKeyDictionary()
        self._uniform: MutableMapping[Tensor, bool] = WeakTensorKeyDictionary()
        self._flow: MutableMapping[Tensor, Flow] = WeakTensorKeyDictionary()
        self._open: dict[int, tuple[str, str]] = {}  # the calls that have not returned: path and line
        self._storages: dict[int, tuple[str, int]] = {}
        self._computed: list[Tensor] = []  # kept, so that nothing else gets their memory
        self._foreign: dict[int, str] = {}
        self._calls = 0

    # -- what rules read and write ------------------------------------------------------------

    def lanes(self, value: Any) -> Lanes:
        """Returns the lanes of a value; none for what has no labels."""
        return self._lanes.get(value, ()) if isinstance(value, Tensor) else ()

    def label(self, value: Tensor, new: Sequence[Tensor]) -> None:
        """Sets the lanes of a value."""
        self._lanes[value] = tuple(lane for lane in new if lanes.varying(lane))

    def is_uniform(self, value: Tensor) -> bool:
        """Whether the value is the same number everywhere, so it carries no information about an index."""
        return value in self._uniform

    def set_uniform(self, value: Tensor) -> None:
        """Marks a value as the same number everywhere."""
        self._uniform[value] = True

    def unset_uniform(self, value: Tensor) -> None:
        """Notes that something was written into the memory of a value."""
        for other in [other for other in self._uniform if _storage(other) == _storage(value)]:
            del self._uniform[other]

    def sharing_memory(self, value: Tensor) -> list[Tensor]:
        """Returns the other tensors of this run that lie in a value's memory."""
        storage = _storage(value)
        return [other for other in self._lanes if other is not value and _storage(other) == storage]

    def flow(self, value: Tensor) -> Flow:
        """Returns which arguments of open calls reach this value, and whether something was added on the way."""
        return {key: added for key, added in self._flow.get(value, {}).items() if key[0] in self._open}

    def set_flow(self, value: Tensor, flow: Flow) -> None:
        """Sets what `flow` returns."""
        if flow:
            self._flow[value] = flow

    def source_of(self, weight: Tensor) -> str | None:
        """Returns the name of the parameter that `weight` is, whole, perhaps transposed or reshaped."""
        name, size = self._storages.get(_storage(weight), ("", -1))
        return name if weight.numel() == size else None

    def reason(self, what: str) -> str:
        """Returns "what, in op at file.py:12 `source`", with the layer where one computes its weight."""
        if is_inside(self.path[-1]):
            layer = self.path[-1].partition(".parametrizations.")[0]
            return f"{what} where {layer} computes its weight, in {self.op}"
        return f"{what}, in {self.op} at {user_line()}"

    def contraction(self, weight: Tensor | None, count: int, factors: Sequence[Factor]) -> None:
        """Records a multiply-accumulate op: the uses of a weight, or the whole count where there is no weight.

        `weight` is a parameter, whole (see `source_of`). `factors` are the labeled dimensions that make up `count`.
        """
        name = self.source_of(weight) if weight is not None else None
        each = count // self.batch
        labeled = tuple(factor for factor in factors if factor.labels)
        self.trace.contractions.append(
            Contraction(self.path[-1], name, each if name else 0, 0 if name else each, labeled)
        )

    # -- the run ------------------------------------------------------------------------------

    def add_source(self, name: str, tensor: Tensor, labels: Sequence[Tensor | None]) -> None:
        """Gives a parameter or buffer its labels, one 1-d tensor per dimension (None: not labeled)."""
        new = [lanes.along(label, d, tensor.shape) for d, label in enumerate(labels) if label is not None]
        self.label(tensor, new)
        if tensor.numel():
            self._storages[_storage(tensor)] = (name, tensor.numel())

    def stands_for(self, computed: Tensor, original: Tensor) -> None:
        """Counts a weight that a layer computed as the parameter of its shape that it was computed from."""
        if (source := self.source_of(original)) is not None and computed.numel() == original.numel():
            self._storages[_storage(computed)] = (source, computed.numel())
            self._computed.append(computed)

    def add_foreign(self, name: str, tensor: Tensor) -> None:
        """Marks a tensor that this run must not touch."""
        self._foreign[id(tensor)] = name

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = without_chance(func, args, kwargs)
        self.op = str(func.overloadpacket)
        self.trace.ops.append(func.overloadpacket.__name__)
        for value in out if isinstance(out, (list, tuple)) else (out,):
            if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
                self.trace.epsilon = max(self.trace.epsilon, torch.finfo(value.dtype).eps)
        inputs = [value for value in tree_flatten((args, kwargs))[0] if isinstance(value, Tensor)]
        for value in inputs:
            if id(value) in self._foreign:
                self.trace.foreign.add(self._foreign[id(value)])
            name = self._storages.get(_storage(value), ("", 0))[0]
            if name and value in self._lanes:
                self.trace.order.setdefault(name, len(self.trace.order))
        self._rule(self, func, args, kwargs, inputs, out)
        return out

    def enter(self, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Notes that a module's forward begins."""
        self._calls += 1
        self.path.append(path)
        self._open[self._calls] = (path, user_line())
        for way, value in leaves((args, dict(kwargs))):
            if isinstance(value, Tensor):
                self._lanes.setdefault(value, ())
                self._flow[value] = {**self.flow(value), (self._calls, way): False}

    def leave(self, path: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        """Notes that a module's forward ended."""
        self.path.pop()
        number, (_, line) = next(entry for entry in reversed(self._open.items()) if entry[1][0] == path)

        def reaches(value: Tensor) -> dict[Way, bool]:
            return {way: added for (call, way), added in self.flow(value).items() if call == number}

        passing, why_not = block_passing(args, kwargs, output, reaches)
        for call in [call for call in self._open if call >= number]:
            del self._open[call]
        if not is_inside(path):
            self.trace.calls.append(Call(path, passing, why_not, line))


def _storage(value: Tensor) -> int:
    return int(value.untyped_storage()._cdata)
