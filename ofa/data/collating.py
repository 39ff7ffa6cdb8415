"""Rows of a map-style data set made into a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.errors import InvalidInput, nearest
from ofa.task.batch import Batch


def collate(rows: Sequence[Any], *, inputs: str | Sequence[str] | None = None, targets: str | None = None) -> Any:
    """Returns the batch of some rows, as `ofa.task.as_batch` takes it.

    Numbers, arrays and tensors are stacked, images of PIL become tensors (C, H, W) in [0, 1]. A tuple of inputs is
    the network's arguments by position. Targets that differ in size, such as boxes, stay a list with one entry for each
    row.

    Args:
        rows: what the data set gives for an index: a pair (inputs, targets), a dictionary, or inputs alone.
        inputs: of dictionaries, the key of the network's input; or several, its arguments by keyword.
        targets: of dictionaries, the key of the targets.

    Raises:
        InvalidInput: a key that rows do not have, or inputs of different sizes.
    """
    if isinstance(rows[0], Mapping) and (inputs is not None or targets is not None):
        names = [name for name in rows[0] if name != targets] if inputs is None else inputs
        taken = [_column(rows, name) for name in ([names] if isinstance(names, str) else names)]
        held = taken[0] if isinstance(names, str) else dict(zip(names, taken, strict=True))
        return Batch(held, None if targets is None else _targets([_key(row, targets) for row in rows]))
    if isinstance(rows[0], tuple | list) and len(rows[0]) == 2:
        return Batch(_inputs([row[0] for row in rows], "inputs"), _targets([row[1] for row in rows]))
    if isinstance(rows[0], Mapping):
        return {name: _column(rows, name) for name in rows[0] if name != "labels"} | (
            {"labels": _targets([_key(row, "labels") for row in rows])} if "labels" in rows[0] else {}
        )
    return _inputs(rows, "inputs")


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Any:
    return _inputs([_key(row, name) for row in rows], name)


def _key(row: Mapping[str, Any], name: str) -> Any:
    if name not in row:
        raise InvalidInput(f"rows have no {name!r}; {nearest(name, map(str, row))}")
    return row[name]


def _inputs(values: Sequence[Any], name: str) -> Any:
    from torch.utils.data import default_collate

    values = [_as_tensor(value) for value in values]
    if type(values[0]) is tuple and len({len(value) for value in values}) == 1:  # several arguments, not one list
        return tuple(_inputs(column, f"{name}[{place}]") for place, column in enumerate(zip(*values, strict=True)))
    try:
        return default_collate(list(values))
    except (TypeError, RuntimeError, ValueError):
        shapes = sorted({str(tuple(value.shape)) for value in values if isinstance(value, Tensor)})
        kinds = sorted({type(value).__name__ for value in values})
        what = f"shapes {' and '.join(shapes[:3])}" if len(shapes) > 1 else f"values of {', '.join(kinds)}"
        raise InvalidInput(
            f"{name} of {what} make no batch; have the data set give tensors of one shape, or give a collate that pads"
        ) from None


def _targets(values: Sequence[Any]) -> Any:
    """Stacked where they can be, otherwise a list."""
    from torch.utils.data import default_collate

    values = [_as_tensor(value) for value in values]
    if _alike(values):
        try:
            stacked = default_collate(list(values))
        except (TypeError, RuntimeError, ValueError):
            return values
        return stacked.float() if isinstance(stacked, Tensor) and stacked.dtype == torch.float64 else stacked
    return values


def _alike(values: Sequence[Any]) -> bool:
    """Whether all tensors in the values have the same shapes."""
    return len({str(_shapes(value)) for value in values}) == 1


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, Mapping):
        return {name: _shapes(_as_tensor(part)) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [_shapes(_as_tensor(part)) for part in value]
    return type(value).__name__


def _as_tensor(value: Any) -> Any:
    """Arrays, lists of numbers and images of PIL as tensors; anything else as it is."""
    if isinstance(value, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, list) and value and _is_numeric(value):
        return torch.tensor(value)
    if hasattr(value, "getbands") and hasattr(value, "tobytes"):  # an image of PIL, which need not be installed
        pixels = torch.from_numpy(np.array(value))
        whole = not pixels.is_floating_point()
        pixels = pixels[..., None] if pixels.dim() == 2 else pixels
        end = 255.0 if pixels.dtype == torch.uint8 else 65535.0
        pixels = pixels.permute(2, 0, 1).to(torch.float32)
        return pixels / end if whole else pixels
    return value


def _is_numeric(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(part, list) == isinstance(value[0], list) and _is_numeric(part) for part in value)
    return isinstance(value, bool | int | float)
