"""Groups of layers that have a precision each, as the configuration of a joint search has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ofa.errors import InvalidInput, nearest

KEY = "search.tuning.precisions"
KEYS = ("match", "precision")
CHOICES = ("float32", "int8")


def check_precisions(groups: Mapping[str, Any]) -> None:
    """Checks groups by name, each with "match", globs of layers, and "precision", what they compute in.

    Raises:
        InvalidInput: another key, no globs, or another precision.
    """
    for name, group in groups.items():
        if not isinstance(group, Mapping) or not set(KEYS) <= group.keys():
            raise InvalidInput(f"{KEY}.{name}={group!r} must have {' and '.join(KEYS)}")
        for key in group.keys() - set(KEYS):
            raise InvalidInput(f"{KEY}.{name}.{key} is unknown; {nearest(str(key), KEYS)}")
        match, precision = group["match"], group["precision"]
        if not isinstance(match, Sequence) or isinstance(match, str) or not match or not all(map(_is_text, match)):
            raise InvalidInput(f"{KEY}.{name}.match={match!r} must be globs of layers, such as [stages.0.*]")
        if precision not in CHOICES:
            raise InvalidInput(f"{KEY}.{name}.precision={precision!r}: {nearest(str(precision), CHOICES)}")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
