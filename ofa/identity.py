"""What identifies a training and its weights: its settings as JSON, and a digest of a network's weights."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.checkpoint import weights
from ofa.errors import InvalidInput


def digest_of(model: nn.Module) -> str:
    """Returns 16 hex digits of the names, shapes and values of all weights and buffers."""
    return digest_of_tensors(weights(model))


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Returns 16 hex digits of the names, shapes and values of tensors, in whatever order."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous()
        total.update(f"{name} {values.dtype} {list(values.shape)}".encode())
        total.update(values.reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()[:16]


def describe(value: Any) -> Any:
    """Returns JSON-able values, equal for equal settings: functions by name, partials with arguments."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Arch):
        return value.to_dict()
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, Sequence):
        return [describe(entry) for entry in value]
    if isinstance(value, partial):
        return {"": describe(value.func), "args": describe(value.args), **describe(value.keywords)}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: describe(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"": describe(type(value)), **fields}
    name = getattr(value, "__qualname__", None)
    if name is not None:
        return f"{getattr(value, '__module__', '')}.{name}"
    return {"": describe(type(value)), **describe(getattr(value, "__dict__", {}))}


def as_json(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `settings` described, as they come back from a file."""
    decoded: dict[str, Any] = json.loads(json.dumps(describe(settings), sort_keys=True))
    return decoded


def check_same(settings: Mapping[str, Any], recorded: Mapping[str, Any], source: str) -> None:
    """Checks that the settings recorded in a file are those of this training.

    Raises:
        InvalidInput: naming the first setting that differs, with both values.
    """
    names = sorted(settings.keys() | recorded.keys())
    differing = [name for name in names if settings.get(name) != recorded.get(name)]
    if differing:
        name = differing[0]
        rest = f" ({', '.join(differing[1:])} differ too)" if differing[1:] else ""
        was, now = json.dumps(recorded.get(name)), json.dumps(settings.get(name))
        raise InvalidInput(
            f"{source} is of another training: {name} was {was:.120}, now {now:.120}{rest}; "
            f"use the same settings again, delete the file, or train into another folder"
        )
