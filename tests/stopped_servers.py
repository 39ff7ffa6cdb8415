"""Servers that are stopped as soon as they serve, as by Ctrl-C: a command that never ends can be run."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest


def stopped(*_: object, **__: object) -> NoReturn:
    """Ends a server before its first request."""
    raise KeyboardInterrupt


@contextmanager
def stopped_servers() -> Iterator[None]:
    """Ends the dashboard, and the studio where its server is installed, once they have opened all that they show."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socketserver.BaseServer, "serve_forever", stopped)
        try:
            import uvicorn
        except ModuleNotFoundError:
            pass
        else:
            patch.setattr(uvicorn.Server, "run", stopped)
        yield
