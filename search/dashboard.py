"""The dashboard: optuna-dashboard over a journal, for this machine's eyes only."""

from __future__ import annotations

import errno
import importlib
import importlib.util
from collections.abc import Callable, Iterable
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from optuna.artifacts import FileSystemArtifactStore

from ofa.errors import InvalidInput
from search.dashboard_figures import with_figures
from search.database import database_storage
from search.place import Place
from search.storage import open_journal

HOST = "127.0.0.1"
Application = Callable[..., Iterable[bytes]]


class _ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """A line a request would bury what the command says."""


def make_dashboard(place: Path | Place, port: int = 8080, artifacts: Path | None = None) -> WSGIServer:
    """Returns a server on the loopback address alone, ready to `serve_forever()`; port 0 takes any free one.

    The studies are shown with figures of our own (see `search.dashboard_figures`), and the files of their trials from
    the folder `artifacts`.

    Raises:
        InvalidInput: optuna-dashboard is not installed, no such journal, a database that cannot be reached, or the
            port is taken.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise InvalidInput("optuna-dashboard is not installed: pip install 'ofa-search[dashboard]'")
    place = Place(place) if isinstance(place, Path) else place
    if place.address is None and not place.journal.exists():
        raise InvalidInput(f"{place} does not exist: search first")
    if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
        raise InvalidInput(f"port={port!r} must be a whole number from 0 to 65535")
    storage = open_journal(place.journal) if place.address is None else database_storage(place.address)
    files = FileSystemArtifactStore(artifacts) if artifacts is not None else None
    application = only_local(importlib.import_module("optuna_dashboard").wsgi(with_figures(storage), files))
    try:
        server = make_server(HOST, port, application, server_class=_ThreadedServer, handler_class=_QuietHandler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise InvalidInput(f"port={port} cannot be used ({error.strerror}); choose another, or 0 for any") from None
    return server


def address(server: WSGIServer) -> str:
    """Returns where a browser finds the server."""
    return f"http://{HOST}:{server.server_port}/dashboard/"


def only_local(application: Application) -> Application:
    """Returns the application refusing requests that name another host.

    The dashboard can delete studies and asks for no password; a page elsewhere could otherwise reach it
    through a name that it points to the loopback address.
    """

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").rsplit(":", 1)[0] not in (HOST, "localhost"):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"this dashboard is for this machine alone\n"]
        return application(environ, start_response)

    return guarded
