"""The server of the studio: pages and answers for this machine alone, under an address that holds a secret."""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import secrets
import socket
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeAlias

from ofa.errors import InvalidInput
from search.report.document import DARK, LIGHT
from search.run.progress import say
from search.studio.desk import Action, Desk

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
MOST_BYTES = 2**20  # of a request
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

Application: TypeAlias = Callable[..., Awaitable[None]]


def palette() -> str:
    """Returns the style sheet of the colors, those of the report, for light and for dark."""
    light, dark = ("".join(f"--{name}: {color}; " for name, color in each.items()) for each in (LIGHT, DARK))
    return (
        f":root {{ {light}color-scheme: light dark; }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark}}} }}\n"
    )


def make_application(
    actions: Mapping[str, tuple[str, Action]], state: Callable[[], Mapping[str, Any]], token: str
) -> Application:
    """Returns the ASGI application under "/<token>/": the page, "state", and each action by its name.

    Args:
        actions: by name, each with its lane: of one lane one runs at a time.
        state: what the page begins with.
        token: without it nothing is answered.

    Raises:
        InvalidInput: the libraries are not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, Response, StreamingResponse
        from starlette.routing import Route
    except ModuleNotFoundError:
        raise InvalidInput("Starlette is not installed: pip install 'ofa-search[studio]'") from None
    desk = Desk({name: lane for name, (lane, _) in actions.items()})
    page = files("search.studio").joinpath("page")

    async def file(request: Request) -> Response:
        name = request.path_params["name"] or "index.html"
        if name == "palette.css":
            return Response(palette(), media_type="text/css", headers=HEADERS)
        there = {entry.name: entry for entry in page.iterdir()}
        if name not in there or (kind := TYPES.get(f".{name.rpartition('.')[2]}")) is None:
            return Response("not found\n", 404, headers=HEADERS)
        return Response(there[name].read_bytes(), media_type=kind, headers=HEADERS)

    async def begin(request: Request) -> Response:
        try:
            return JSONResponse(await asyncio.to_thread(state), headers=HEADERS)
        except InvalidInput as error:
            return JSONResponse({"error": str(error)}, 422, headers=HEADERS)

    async def act(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in actions:
            return JSONResponse({"error": f"{name!r} is no action"}, 404, headers=HEADERS)
        body, refused = await _body(request)
        if refused:
            return JSONResponse({"error": refused}, 422, headers=HEADERS)
        lines = desk.stream(name, actions[name][1], body)
        return StreamingResponse(lines, media_type="application/x-ndjson", headers=HEADERS)

    base = "/{token}"
    routes = [
        Route(f"{base}/state", begin),
        Route(f"{base}/do/{{name}}", act, methods=["POST"]),
        Route(f"{base}/{{name:path}}", file),
    ]
    return only_with(token, Starlette(routes=routes))


async def _body(request: Request) -> tuple[dict[str, Any], str]:
    """What was sent, and why it is refused."""
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return {}, "the content type must be application/json"
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            return {}, f"a request must have at most {MOST_BYTES:,} bytes"
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}, "the request is no JSON"
    return (body, "") if isinstance(body, dict) else ({}, "the request must be an object")


def only_with(token: str, application: Application) -> Application:
    """Returns the application for requests of this machine's own page alone.

    They must name the token, this machine as host (another name that leads here is a website's), and no other origin.
    """

    async def guarded(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and (why := _refusal(scope, token)) is not None:
            status, text = why
            start = {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"text/plain")]}
            await send(start)
            await send({"type": "http.response.body", "body": f"{text}\n".encode()})
            return
        await application(scope, receive, send)

    return guarded


def _refusal(scope: Mapping[str, Any], token: str) -> tuple[int, str] | None:
    """The status and the words with which a request is refused; None: it is answered."""
    headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
    host = headers.get("host", "")
    if host.rpartition(":")[0] not in NAMES:
        return 403, "this studio is for this machine only"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return 403, "this studio answers its own page only"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return 403, "this studio answers its own page only"
    given = scope["path"].lstrip("/").partition("/")[0]
    if not hmac.compare_digest(given.encode(), token.encode()):
        return 404, "open the address that ofa studio printed: it ends with a token of this session"
    return None


def serve(actions: Mapping[str, tuple[str, Action]], state: Callable[[], Mapping[str, Any]], port: int) -> None:
    """Serves the studio on the loopback address until it is stopped; port 0 takes any free port.

    Raises:
        InvalidInput: the libraries are not installed, or the port is taken.
    """
    token = secrets.token_urlsafe(24)
    application = make_application(actions, state, token)
    try:
        import uvicorn
    except ModuleNotFoundError:
        raise InvalidInput("uvicorn is not installed: pip install 'ofa-search[studio]'") from None
    listener = bound(port)
    say(f"studio: http://{HOST}:{listener.getsockname()[1]}/{token}/ (stop with Ctrl-C)")
    config = uvicorn.Config(application, log_level="error", access_log=False, timeout_graceful_shutdown=1)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        listener.close()
        say("studio: stopped")


def bound(port: int) -> socket.socket:
    """Returns a socket that listens on the loopback address.

    Raises:
        InvalidInput: the port cannot be used.
    """
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()  # now, so that who is quick waits for the first answer and is not refused
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise InvalidInput(f"port={port} cannot be used ({error.strerror}); choose another, or 0 for any") from None
    return listener
