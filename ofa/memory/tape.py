"""Tapes: one run of a network at batch 1, op by op: which storages it makes, how large, and how long each is alive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from ofa.computed_weights import computed_weights, plain_copy
from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.modes import in_mode, op_by_op
from ofa.structure.passing import Passing, handed_on

Bytes = np.ndarray[Any, np.dtype[np.int64]]
NOT_COUNTED = -1  # the number of parameters, buffers and what no op has made


@dataclass(frozen=True)
class StorageLife:
    """One storage that the run made, or its input: the product of `factors` is its bytes.

    It is alive in the steps `birth` to `death`, both included; `block` is the watched one it was made in, or "".
    """

    birth: int
    death: int
    factors: tuple[int, ...]
    block: str


@dataclass(frozen=True)
class Tape:
    """A run: step 0 hands the input over, every later step is an op.

    `blocks` says for each step in which of the watched blocks it is ("" for none); `passed` says by block, for each
    storage that comes out, which goes out in its place where the block is left out.
    """

    ops: tuple[str, ...]
    blocks: tuple[str, ...]
    storages: tuple[StorageLife, ...]
    passed: Mapping[str, Mapping[int, int]]

    def bytes_by_step(self) -> Bytes:
        """Returns the bytes alive in each step, int64 (steps,)."""
        change = np.zeros(len(self.ops) + 1, dtype=np.int64)
        for storage in self.storages:
            size = int(np.prod(storage.factors, dtype=np.int64))
            change[storage.birth] += size
            change[storage.death + 1] -= size
        return np.cumsum(change)[:-1]


def record(net: nn.Module, example: Inputs, watched: Mapping[str, Passing] | None = None) -> Tape:
    """Returns the tape of `net` on the first example of `example`, in eval mode without gradients.

    Weights that layers compute count as parameters, as they are on a device (see `ofa.computed_weights.plain_copy`).

    `watched` says by path what blocks of `net` hand on when they are left out; hooks are put on them for the run, so
    they must belong to the caller.

    Raises:
        InvalidInput: the net does not run on one example, runs a watched block twice or inside another one, or
            resizes a storage.
    """
    if any(computed_weights(layer) for layer in net.modules()):
        net = plain_copy(net)
    first = example.rows(0, 1).map(lambda tensor: tensor.detach().clone())
    recorder = _Recorder([*net.parameters(), *net.buffers()], list(first.tensors().values()))
    handles = [
        handle
        for path, passing in (watched or {}).items()
        for handle in recorder.watch(path, net.get_submodule(path), passing)
    ]
    try:
        # In inference mode composite ops would not be decomposed, which hides what they allocate.
        with in_mode(net, training=False), torch.inference_mode(False), torch.no_grad(), op_by_op(), recorder:
            output = first.call(net)
    except InvalidInput:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise InvalidInput(
            f"{type(net).__name__} does not run on an input of {first.shapes}: {type(error).__name__}: {lines[0]}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    tape = recorder.tape()
    del output, first  # alive to the end: the caller of a network holds both
    return tape


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Checks before every op which storages are gone, and after it which are new.

    Storages are known by their address; the weak reference keeps it from being reused.
    """

    def __init__(self, weights: list[Tensor], inputs: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ops = ["input"]
        self._block = ""
        self._op_blocks = [""]
        self._known: dict[int, tuple[StorageWeakRef, int, int]] = {}  # address: (reference, number, bytes)
        self._births: list[tuple[int, tuple[int, ...], str]] = []
        self._deaths: dict[int, int] = {}
        self._passed: dict[str, dict[int, int]] = {}
        self._weights = {int(weight.untyped_storage()._cdata): weight for weight in weights}
        for value in inputs:
            self._meet(value, is_new=True)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._bury()
        out = func(*args, **(kwargs or {}))
        self._ops.append(str(func))
        self._op_blocks.append(self._block)
        for values, is_new in (((args, kwargs), False), (out, True)):
            for value in tree_flatten(values)[0]:
                if isinstance(value, Tensor):
                    self._meet(value, is_new=is_new)
        return out

    def _bury(self) -> None:
        expired = [address for address, (reference, _, _) in self._known.items() if reference.expired()]  # type: ignore[no-untyped-call]
        for address in expired:
            self._deaths[self._known.pop(address)[1]] = len(self._ops) - 1

    def _meet(self, value: Tensor, *, is_new: bool) -> int:
        """Returns the number of a tensor's storage, a new one where an op has just made it."""
        storage = value.untyped_storage()
        address, size = int(storage._cdata), storage.nbytes()
        if address in self._weights:
            return NOT_COUNTED
        if address not in self._known:
            number = len(self._births) if is_new else NOT_COUNTED
            self._known[address] = (StorageWeakRef(storage), number, size)  # type: ignore[no-untyped-call]
            if is_new:
                factors = (*value.shape, value.element_size())
                whole = int(np.prod(factors, dtype=np.int64)) == size
                self._births.append((len(self._ops) - 1, factors if whole else (size,), self._block))
        _, number, known_size = self._known[address]
        if size != known_size and number != NOT_COUNTED:
            raise InvalidInput(f"{self._ops[-1]} resizes a storage from {known_size} to {size} bytes: not counted here")
        return number

    def watch(self, path: str, block: nn.Module, passing: Passing) -> list[Any]:
        """Puts hooks on a block that note what passes through it; returns their handles."""

        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if self._block or path in self._passed:
                raise InvalidInput(f"{path} runs inside {self._block or 'the net twice'}: its memory is not known")
            self._block = path

        def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            self._block = ""
            self._passed[path] = {
                self._meet(made, is_new=False): self._meet(given, is_new=False)
                for given, made in handed_on(passing, args, kwargs, output)
            }

        return [
            block.register_forward_pre_hook(enter, with_kwargs=True),
            block.register_forward_hook(leave, with_kwargs=True),
        ]

    def tape(self) -> Tape:
        """Returns what was recorded; call while the output is held."""
        self._bury()
        last = len(self._ops) - 1
        storages = tuple(
            StorageLife(birth, self._deaths.get(number, last), factors, block)
            for number, (birth, factors, block) in enumerate(self._births)
        )
        return Tape(tuple(self._ops), tuple(self._op_blocks), storages, self._passed)
