"""The guard around a conversion: whatever goes wrong ends in one line that names the user's code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ofa.errors import InvalidInput
from ofa.structure.tracer import error_line


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
