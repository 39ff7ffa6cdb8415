"""Batch: what a step learns from: the inputs of the network, and the targets that its outputs are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs, map_tensors


class Batch(NamedTuple):
    """Some examples.

    Attributes:
        inputs: what the network is called with: a tensor (N, ...), or any `Example`.
        targets: what the outputs are compared with, any pytree; a tensor or a list of N entries is by example.
        teacher: the outputs of a teacher for these examples; None: there is none, or it has not been asked.
    """

    inputs: Any
    targets: Any = None
    teacher: Any = None

    @property
    def examples(self) -> int:
        """How many examples the batch has."""
        return len(self.inputs) if isinstance(self.inputs, Tensor) else as_inputs(self.inputs).batch

    def rows(self, start: int, stop: int, step: int = 1) -> Batch:
        """Returns each `step`th example from `start` to before `stop`; tensors of all examples stay whole."""
        count, rows = self.examples, slice(start, stop, step)
        inputs = (
            self.inputs[rows] if isinstance(self.inputs, Tensor) else as_inputs(self.inputs).rows(start, stop, step)
        )
        return Batch(inputs, rows_of(self.targets, rows, count), _output_rows(self.teacher, rows, count))

    def to(self, device: torch.device | str) -> Batch:
        """Returns the batch with all its tensors on a device."""
        inputs = self.inputs.to(device) if isinstance(self.inputs, Tensor) else as_inputs(self.inputs).to(device)
        return Batch(inputs, on_device(self.targets, device), map_tensors(self.teacher, lambda leaf: leaf.to(device)))


def _output_rows(outputs: Any, rows: slice, count: int) -> Any:
    """The entries of some examples of a network's outputs: a list there is of several tensors, never of examples."""
    return map_tensors(outputs, lambda leaf: leaf[rows] if leaf.dim() > 0 and len(leaf) == count else leaf)


def rows_of(value: Any, rows: slice, count: int) -> Any:
    """Returns the entries of some examples of a pytree: of its tensors and lists with `count` entries; others whole.

    A list of `count` tensors that all have `count` entries is several targets, as a loader's collate makes of a tuple.
    """
    if isinstance(value, list) and len(value) == count:
        several = all(isinstance(part, Tensor) and part.dim() > 0 and len(part) == count for part in value)
        if not several:
            return value[rows]
    if isinstance(value, Mapping):
        return {name: rows_of(part, rows, count) for name, part in value.items()}

    def cut(leaf: Any) -> Any:
        return leaf[rows] if isinstance(leaf, Tensor) and leaf.dim() > 0 and len(leaf) == count else leaf

    return tree_map(cut, value)


def on_device(value: Any, device: torch.device | str) -> Any:
    """Returns a pytree with its tensors on a device."""
    return tree_map(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, value)


def as_batch(value: Any) -> Batch:
    """Returns the batch that a loader's value stands for.

    A pair is inputs and targets; a dictionary's "labels" are the targets, and the rest are the network's keyword
    arguments; a tensor or `Inputs` has no targets.

    Raises:
        InvalidInput: anything else.
    """
    if isinstance(value, Batch):
        return value
    if isinstance(value, Tensor | Inputs):
        return Batch(value)
    if isinstance(value, tuple | list) and len(value) == 2:
        return Batch(_example(value[0]), value[1])
    if isinstance(value, Mapping):
        inputs = {name: part for name, part in value.items() if name != "labels"}
        return Batch(as_inputs(inputs), value.get("labels"))
    count = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    raise InvalidInput(
        f"a batch is a {type(value).__name__}{count}; it must be a pair (inputs, targets), a dictionary of the "
        "network's arguments with its targets under 'labels', or an ofa.task.Batch: give a collate that returns one"
    )


def _example(value: Any) -> Example:
    """Inputs as a pair holds them: loaders make lists of what were tuples."""
    return tuple(value) if isinstance(value, list) else value


def leaves(value: Any) -> list[Tensor]:
    """Returns the tensors of a pytree."""
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
