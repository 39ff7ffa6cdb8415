"""Logger: takes the rows of some work, one after the other; an error of it never ends that work."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from ofa.errors import InvalidInput

Value = int | float | str | bool


class Logger(Protocol):
    """Keeps the rows of one piece of work, such as a training.

    It is made before the work begins, from the folder of all logs and the name of the work, such as "train" or
    "search/pi5", and raises InvalidInput then if its package is not installed.
    """

    def open(self, *, fresh: bool) -> int | None:
        """Returns the last step that is kept already; None: none. A `fresh` one replaces what is there."""

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Keeps a row; steps rise."""

    def close(self) -> None:
        """Ends it; what was logged is then whole."""


class tolerant:
    """A logger that warns of the first error of another, and does nothing from then on.

    Args:
        logger: the other.
        warn: takes the warning, a line; None: `warnings.warn`.
    """

    def __init__(self, logger: Logger, warn: Callable[[str], None] | None = None) -> None:
        self._logger: Logger | None = logger
        self._warn = warn or _warn
        self._name = type(logger).__name__

    def open(self, *, fresh: bool) -> int | None:
        """Returns the last step that is kept already."""
        last: int | None = self._tried("open", fresh=fresh)
        return last

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Keeps a row."""
        self._tried("log", step, row)

    def close(self) -> None:
        """Ends it."""
        self._tried("close")

    def _tried(self, name: str, *arguments: Any, **named: Any) -> Any:
        if self._logger is None:
            return None
        try:
            return getattr(self._logger, name)(*arguments, **named)
        except Exception as error:  # of a disk, a server, a library: none is worth the work of hours
            self._logger = None
            reason = next(iter(str(error).splitlines()), "") or type(error).__name__
            self._warn(f"{self._name} fails, the work goes on without it: {reason:.300}")
            return None


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=5)


def flat(row: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    """Returns a row without nesting: {"a": {"b": 1}} as {"a.b": 1}; only numbers, text and truth values are left."""
    values: dict[str, Value] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float | str | bool):
            values[f"{prefix}{name}"] = value
    return values


def numbers(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Gives the finite numbers of a row."""
    for name, value in flat(row).items():
        if isinstance(value, int | float) and math.isfinite(value):
            yield name, float(value)


def needs(package: str, extra: str) -> Any:
    """Returns an optional package.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        name = package.partition(".")[0]
        reason = f"{name} is not installed" if getattr(error, "name", "") == name else f"{package}: {error}"
        raise InvalidInput(f"logger={extra}: {reason}; pip install 'ofa-search[{extra}]'") from None
