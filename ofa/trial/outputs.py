"""Outputs of two networks compared, where one has fewer blocks and so may collect less."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ofa.structure.containers import parts_of


def first_difference(narrow: Any, wide: Any, compare: Callable[[Tensor, Tensor], str | None]) -> str | None:
    """Returns why two outputs differ, or None.

    Both have the same containers. A list or tuple to which every block adds something may be shorter in the narrow
    output: its entries must then equal entries of the other, in their order. A mapping may lack keys, and a tensor may
    be None where the block that makes it was left out.

    Args:
        narrow: the output of a view. wide: the output of the whole network with these blocks handing on what they get.
        compare: returns why two tensors differ, or None.
    """
    if isinstance(narrow, Tensor) and isinstance(wide, Tensor):
        return compare(narrow, wide)
    parts, others = parts_of(narrow), parts_of(wide)
    if parts is None or others is None:
        if isinstance(narrow, Tensor) or parts is not others:
            return f"the output holds {_kind(narrow)} where it held {_kind(wide)}"
        return None
    if isinstance(narrow, (list, tuple)):
        return _of_lists([part for _, part in parts], [part for _, part in others], compare)
    known = dict(others)
    for key, part in parts:
        if key not in known:
            return f"the output has {key!r}, which the whole network's lacks"
        if reason := first_difference(part, known[key], compare):
            return reason
    return None


def _of_lists(narrow: list[Any], wide: list[Any], compare: Callable[[Tensor, Tensor], str | None]) -> str | None:
    if len(narrow) > len(wide):
        return f"the output holds {len(narrow)} entries where it held {len(wide)}"
    reason: str | None = None
    position = 0
    for number, part in enumerate(narrow):
        most = len(wide) - (len(narrow) - number)  # the rest of the entries must fit, too
        for other in range(position, most + 1):
            why = first_difference(part, wide[other], compare)
            if why is None:
                position = other + 1
                break
            reason = reason or why
        else:
            return reason
        reason = None
    return None


def _kind(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
