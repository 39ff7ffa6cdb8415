"""Lines of the dashboard's pages that go on below: it shows each attribute of a trial in one line, however long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Application: TypeAlias = Callable[..., Iterable[bytes]]
# Attributes of trials are paragraphs of its library of components; an Arch as JSON has some hundred letters.
STYLE = b"<style>p.MuiTypography-body1 { white-space: normal; overflow-wrap: anywhere; }</style>"


def with_broken_lines(application: Application) -> Application:
    """Returns the application, whose pages then break long lines, so that no page is wider than its window."""

    def styled(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        begun: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], None]:
            begun[:] = [status, headers, *error]
            return lambda data: None

        parts = application(environ, start)
        status, headers, *error = begun
        names = {name.lower(): value for name, value in headers}
        if not names.get("content-type", "").startswith("text/html") or "content-encoding" in names:
            start_response(status, headers, *error)
            return parts
        page = b"".join(parts).replace(b"</head>", STYLE + b"</head>", 1)
        others = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*others, ("Content-Length", str(len(page)))], *error)
        return [page]

    return styled
