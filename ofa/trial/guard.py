"""Errors in one line that names the user's code: those of a narrow model, and whatever a conversion raises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ofa.errors import InvalidInput
from ofa.structure.tracer import error_line

_OF_SIZES = (
    *("size", "shape", "dimension", "channel", "view", "expand", "broadcast", "multipl", "split", "elements", "index"),
)


def crash_reason(error: BaseException) -> str:
    """Returns what a narrow model raised, where in the user's code, and whether a size may be the cause."""
    lines = str(error).strip().splitlines()
    first = lines[0] if lines else ""
    is_of_sizes = not first or any(word in first.lower() for word in _OF_SIZES)
    question = "; is a size hard-coded?" if is_of_sizes else ""
    return f"{type(error).__name__}: {first} at {error_line(error)}{question}"


@contextmanager
def explained(model: object) -> Iterator[None]:
    """Turns every error of a conversion into InvalidInput with the model, the error and the line of the user's code.

    Raises:
        InvalidInput: any error but an InvalidInput, which passes as it is.
    """
    try:
        yield
    except InvalidInput:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines()
        what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
        line = error_line(error)
        where = "" if line.startswith("an unknown") else f" at {line}"
        raise InvalidInput(f"{type(model).__name__} cannot be converted: {what}{where}") from error
