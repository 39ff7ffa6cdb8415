"""engine=ray: evaluators are actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from search.engine.engine import TRIES_AGAIN, Engine, Source


@contextmanager
def ray(source: Source, *, workers: int = 1, retries: int = TRIES_AGAIN) -> Iterator[Engine]:
    """Gives an engine."""
    raise NotImplementedError
    yield
