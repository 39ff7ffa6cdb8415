"""Pages of the dashboard get their style, and nothing else that it serves is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from search.report.dashboard import STYLE, with_broken_lines

PAGE = b"<html><head><title>studies</title></head><body></body></html>"


def served(body: bytes, **headers: str) -> tuple[dict[str, str], bytes]:
    """Headers and body of what an application of one answer serves through the other."""
    seen: dict[str, str] = {}
    sent = {"Content-Length": str(len(body))} | {name.replace("_", "-"): value for name, value in headers.items()}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        start_response("200 OK", list(sent.items()))
        return [body]

    parts = with_broken_lines(application)({}, lambda status, pairs: seen.update({"status": status, **dict(pairs)}))
    return seen, b"".join(parts)


def test_a_page_has_the_style_in_its_head_and_its_new_length() -> None:
    seen, body = served(PAGE, Content_Type="text/html; charset=UTF-8")
    assert body == PAGE.replace(b"</head>", STYLE + b"</head>")
    assert seen["status"] == "200 OK" and seen["Content-Length"] == str(len(body))


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "application/json"},
        {"Content_Type": "application/javascript"},
        {"Content_Type": "text/html", "Content_Encoding": "gzip"},
    ],
)
def test_anything_else_is_as_it_was(headers: dict[str, str]) -> None:
    seen, body = served(PAGE, **headers)
    assert body == PAGE and seen["Content-Length"] == str(len(PAGE))
