"""Targets of any kind: what the outputs for each example are compared with, taken by rows, and their identities."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.data.identity import identity_of
from ofa.errors import InvalidInput
from ofa.task.batch import leaves

# A tensor (N, ...), a list of N entries of any kind, a dictionary or tuple of those, or None: there are none.
Targets = Any


def rows_of_targets(targets: Targets, rows: Tensor) -> Targets:
    """Returns the targets of some examples: of tensors and lists their rows, in dictionaries and tuples too."""
    if isinstance(targets, Tensor):
        return targets[rows.to(targets.device)]
    if isinstance(targets, list):
        return [targets[row] for row in rows.tolist()]
    if isinstance(targets, Mapping):
        return {name: rows_of_targets(part, rows) for name, part in targets.items()}
    if isinstance(targets, tuple):
        return tuple(rows_of_targets(part, rows) for part in targets)
    return targets


def check_targets(targets: Targets, count: int, inputs: str) -> None:
    """Checks that there is an entry for each of `count` examples.

    Args:
        inputs: what to call these in a message, such as "pixels (10, 1, 8, 8)".

    Raises:
        InvalidInput: more or fewer entries, or targets of a kind that has no rows.
    """
    for part in _parts(targets):
        if not isinstance(part, Tensor | list) or (isinstance(part, Tensor) and not part.dim()):
            raise InvalidInput(
                f"targets hold {type(part).__name__}; give tensors or lists with an entry for each example, "
                "a dictionary or tuple of those, or None"
            )
        if len(part) != count:
            kind = "labels" if isinstance(part, Tensor) and part.dim() == 1 else "targets"
            raise InvalidInput(f"{inputs} do not fit {len(part)} {kind}")


def are_labels(targets: Targets) -> bool:
    """Whether the targets are class labels: one whole number for each example."""
    return isinstance(targets, Tensor) and targets.dim() == 1 and targets.dtype in _WHOLE


def outputs_for(targets: Targets) -> int | None:
    """Returns how many numbers a network answers with to targets (N,) or (N, K): 1 or K; None where it is open."""
    if not isinstance(targets, Tensor) or targets.dim() > 2 or (targets.dtype in _WHOLE and targets.dim() == 1):
        return None
    return 1 if targets.dim() == 1 else int(targets.shape[1])


def targets_in_words(targets: Targets) -> str:
    """Returns what kind of targets these are, for a message: "float32 (N, 3)", "a list of dict"."""
    if isinstance(targets, Tensor):
        return f"{str(targets.dtype).removeprefix('torch.')} ({', '.join(['N', *map(str, targets.shape[1:])])})"
    if isinstance(targets, Mapping):
        return f"a dictionary of {', '.join(map(str, targets))}"
    if isinstance(targets, list):
        return f"a list of {type(targets[0]).__name__}" if targets else "an empty list"
    return "none" if targets is None else f"a {type(targets).__name__}"


def target_identities(targets: Targets, count: int) -> Tensor:
    """Returns a number for each example that tells its target, (N,) int64: labels as they are, others by content."""
    if targets is None:
        return torch.zeros(count, dtype=torch.int64)
    if are_labels(targets):
        labels: Tensor = targets
        return labels.cpu().long()
    numbers = [identity_of(content_of(rows_of_targets(targets, torch.tensor([row])))) for row in range(count)]
    return torch.tensor(numbers, dtype=torch.int64)


def content_of(value: Any) -> bytes:
    """Returns bytes that differ between contents: of tensors, arrays, images and what else an example is made of."""
    return b"".join(_bytes(value))


_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def _parts(targets: Targets) -> Iterator[Any]:
    """What has rows of its own."""
    if isinstance(targets, Mapping):
        for part in targets.values():
            yield from _parts(part)
    elif isinstance(targets, tuple):
        for part in targets:
            yield from _parts(part)
    elif targets is not None:
        yield targets


def _bytes(target: Any) -> Iterator[bytes]:
    """The content of one example's target: shapes, types and bytes of tensors, and what else there is as text."""
    if isinstance(target, Tensor):
        held = target.detach().cpu().contiguous()
        yield f"{held.dtype}{tuple(held.shape)}".encode()
        yield held.flatten().view(torch.uint8).numpy().tobytes() if held.numel() else b""
    elif isinstance(target, np.ndarray):
        yield from _bytes(torch.from_numpy(np.ascontiguousarray(target)))
    elif isinstance(target, Mapping):
        for name, part in target.items():
            yield str(name).encode()
            yield from _bytes(part)
    elif isinstance(target, list | tuple):
        yield f"{type(target).__name__}{len(target)}".encode()
        for part in target:
            yield from _bytes(part)
    elif hasattr(target, "tobytes") and hasattr(target, "size"):  # an image of PIL
        yield f"{getattr(target, 'mode', '')}{target.size}".encode()
        yield target.tobytes()
    elif dataclasses.is_dataclass(target) and not isinstance(target, type):
        yield from _bytes({field.name: getattr(target, field.name) for field in dataclasses.fields(target)})
    elif isinstance(target, bytes | str):
        yield target.encode() if isinstance(target, str) else target
    elif target is None or isinstance(target, bool | int | float | complex):
        yield repr(target).encode()
    else:
        yield type(target).__name__.encode()  # a repr may hold an address, another in each process


def device_of(targets: Targets) -> torch.device | None:
    """Returns where the first tensor of the targets is; None: there is none."""
    return next((tensor.device for tensor in leaves(targets)), None)
