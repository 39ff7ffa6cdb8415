"""Executors that take no time of their own: what they are given has run when `submit` returns."""

from __future__ import annotations

from concurrent.futures import Executor, Future
from typing import Any


class AtOnce(Executor):
    """Runs what it is given before it returns."""

    def submit(self, work: Any, /, *arguments: Any, **names: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(work(*arguments, **names))
        except BaseException as error:
            future.set_exception(error)
        return future
