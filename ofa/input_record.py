"""The inputs of a model as JSON, and back: shapes and types; of whole numbers, such as token ids, the values too."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput
from ofa.inputs import Inputs

LARGEST = 2**28  # numbers in all tensors together
DTYPES = {str(kind).removeprefix("torch."): kind for kind in (
    torch.float32, torch.float64, torch.float16, torch.bfloat16,
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
)}  # fmt: skip
PLAIN = (bool, int, float, str, type(None))


def inputs_to_json(inputs: Inputs) -> dict[str, Any]:
    """Returns inputs as dictionaries, lists and numbers: {"args": [...], "kwargs": {...}}.

    A tensor is {"tensor": its shape, "type": "float32"}. Floating-point values do not matter and are not kept; others
    are, compressed, as "values": a network may not run on other token ids, or computes nothing behind another mask.

    Raises:
        InvalidInput: an argument of a type that has no such form, or a tensor of an unusual type.
    """
    return {
        "args": [_to_json(value) for value in inputs.args],
        "kwargs": {name: _to_json(value) for name, value in inputs.kwargs.items()},
    }


def inputs_from_json(content: Mapping[str, Any]) -> Inputs:
    """Returns inputs of the shapes, types and whole numbers of the saved ones; other values are normal, from a seed.

    Raises:
        InvalidInput: content that `inputs_to_json` did not write, or tensors that are too large.
    """
    total = sum(_count(value) for value in (content.get("args"), content.get("kwargs")))
    if total > LARGEST:
        raise InvalidInput(f"an example input of {total} numbers is not made; the limit is {LARGEST}")
    args, kwargs = content.get("args"), content.get("kwargs")
    if not isinstance(args, (list, tuple)) or not isinstance(kwargs, Mapping):
        raise InvalidInput("an example input has a list of args and an object of kwargs")
    generator = torch.Generator().manual_seed(0)
    return Inputs(
        *(_from_json(value, generator) for value in args),
        **{str(name): _from_json(value, generator) for name, value in kwargs.items()},
    )


def _to_json(value: Any) -> Any:
    if isinstance(value, Tensor):
        return _tensor_to_json(value.detach().cpu())
    if type(value) in PLAIN and not (isinstance(value, float) and not math.isfinite(value)):
        return value
    if type(value) is list:
        return [_to_json(part) for part in value]
    if type(value) is tuple:
        return {"tuple": [_to_json(part) for part in value]}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _to_json(part) for key, part in value.items()}}
    raise InvalidInput(
        f"the example input has an argument of type {type(value).__name__}, which has no form in a file: use tensors, "
        "numbers, text, None, and tuples, lists and dictionaries of them"
    )


def _tensor_to_json(tensor: Tensor) -> dict[str, Any]:
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in DTYPES:
        raise InvalidInput(f"the example input is of type {kind}; a saved one has one of {', '.join(DTYPES)}")
    content: dict[str, Any] = {"tensor": list(tensor.shape), "type": kind}
    if not tensor.is_floating_point() and bool(tensor.any()):
        content["values"] = base64.b64encode(zlib.compress(tensor.contiguous().numpy().tobytes())).decode()
    return content


def _count(value: Any) -> int:
    """How many numbers the tensors in a value have."""
    if isinstance(value, (list, tuple)):
        return sum(_count(part) for part in value)
    if not isinstance(value, Mapping):
        return 0
    shape = value.get("tensor")
    if shape is None:
        return sum(_count(part) for part in value.values())
    if not isinstance(shape, (list, tuple)) or not all(type(size) is int and 0 <= size <= LARGEST for size in shape):
        raise InvalidInput(f"no tensor has the shape {shape!r:.80}")
    return math.prod(shape)


def _from_json(value: Any, generator: torch.Generator) -> Any:
    if isinstance(value, list):
        return [_from_json(part, generator) for part in value]
    if not isinstance(value, Mapping):
        return value
    if isinstance(value.get("tuple"), (list, tuple)):
        return tuple(_from_json(part, generator) for part in value["tuple"])
    if isinstance(value.get("dict"), Mapping):
        return {str(key): _from_json(part, generator) for key, part in value["dict"].items()}
    kind = DTYPES.get(str(value.get("type")))
    if kind is None or "tensor" not in value:
        raise InvalidInput(f"an argument of an example input is {str(dict(value))!r:.80}, not a tensor of a known type")
    shape = tuple(value["tensor"])
    if kind.is_floating_point:
        return torch.randn(shape, generator=generator).to(kind)
    return _whole_numbers(value.get("values"), shape, kind)


def _whole_numbers(text: Any, shape: tuple[int, ...], kind: torch.dtype) -> Tensor:
    result = torch.zeros(shape, dtype=kind)
    if text is None:
        return result
    size = result.numel() * result.element_size()
    try:
        unpacked = zlib.decompressobj().decompress(base64.b64decode(str(text), validate=True), size + 1)
    except (binascii.Error, zlib.error, ValueError) as error:
        raise InvalidInput(f"the values of an example input are damaged ({error})") from None
    if len(unpacked) != size:
        raise InvalidInput(f"the values of an example input have {len(unpacked)} bytes, not the {size} of its shape")
    values = np.frombuffer(unpacked, dtype=result.numpy().dtype).reshape(shape).copy()
    return torch.from_numpy(values)
