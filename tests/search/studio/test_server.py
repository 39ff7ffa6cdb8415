"""The studio answers its own page on this machine, and nobody else."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from ofa.errors import InvalidInput
from search.config.compressing import StudioSetting
from search.report.document import DARK, LIGHT
from search.studio import server
from search.studio.judging import costs, score_of
from search.studio.opened import Opened
from search.studio.pacing import Tell
from search.studio.session import Session
from search.studio.shaping import Workbench

testclient = pytest.importorskip("starlette.testclient")

TOKEN = "a-secret"
ORIGIN = "http://127.0.0.1:8090"


def client_of(actions: Mapping[str, Any], state: Any = dict) -> Any:
    return testclient.TestClient(server.make_application(actions, state, TOKEN), base_url=ORIGIN)


@pytest.fixture
def client(session: Session) -> Any:
    return client_of(session.actions, session.state)


def lines(client: Any, action: str, **body: Any) -> list[dict[str, Any]]:
    answer = client.post(f"/{TOKEN}/do/{action}", json=body)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def merged(pieces: list[dict[str, Any]]) -> dict[str, Any]:
    assert pieces[-1] == {"done": True}, pieces[-1]
    return {key: value for piece in pieces for key, value in piece.items()}


@pytest.mark.parametrize("name", ["", "index.html", "studio.css", "studio.js", "drawing.js", "asking.js", "lessons.js"])
def test_the_page_is_whole_and_fetches_nothing_from_elsewhere(client: Any, name: str) -> None:
    answer = client.get(f"/{TOKEN}/{name}")
    assert answer.status_code == 200
    outside = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in outside and "https://" not in outside
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


def test_its_colors_are_those_of_the_report(client: Any) -> None:
    sheet = client.get(f"/{TOKEN}/palette.css").text
    assert all(f"--{name}: {color};" in sheet for each in (LIGHT, DARK) for name, color in each.items())


@pytest.mark.parametrize("path", ["/", "/state", "/other/state", f"/{TOKEN}x/", "/do/evaluate"])
def test_without_the_token_nothing_is_answered(client: Any, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 404
    assert "token" in answer.text and TOKEN not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8090"},
        {"host": "127.0.0.1.evil.example:8090"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_other_hosts_and_origins_are_refused(client: Any, headers: dict[str, str]) -> None:
    for answer in (client.get(f"/{TOKEN}/state", headers=headers), client.post(f"/{TOKEN}/do/keep", headers=headers)):
        assert answer.status_code == 403
        assert answer.text.startswith("this studio")


def test_its_own_origin_is_answered(client: Any) -> None:
    headers = {"origin": ORIGIN, "sec-fetch-site": "same-origin"}
    assert client.get(f"/{TOKEN}/state", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "name", ["../session.py", "..%2fsession.py", "nothing.js", "__init__.py", "page", "%2e%2e/server.py"]
)
def test_only_files_of_the_page_are_given(client: Any, name: str) -> None:
    assert client.get(f"/{TOKEN}/{name}").status_code == 404


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (b"{}", "text/plain", "the content type must be application/json"),
        (b"{", "application/json", "the request is no JSON"),
        (b"[1]", "application/json", "the request must be an object"),
        (b"[" * 100_000, "application/json", "the request"),
        (b'"' + b"x" * 2**20 + b'"', "application/json", "at most 1,048,576 bytes"),
    ],
)
def test_what_is_no_request_is_refused_in_one_line(client: Any, content: bytes, kind: str, said: str) -> None:
    answer = client.post(f"/{TOKEN}/do/evaluate", content=content, headers={"content-type": kind})
    assert answer.status_code == 422
    assert said in answer.json()["error"]


def test_an_unknown_action_is_said(client: Any) -> None:
    assert client.post(f"/{TOKEN}/do/delete", json={}).status_code == 404


def test_figures_are_those_of_the_library(client: Any, opened: Opened) -> None:
    setting = {"sparsity": 0.7, "layers": {"stem.conv.weight": 0.5}}
    answer = merged(lines(client, "evaluate", setting=setting))
    shaped = Workbench(opened).shape(StudioSetting(**setting), lambda piece: None)
    assert answer["score"]["value"] == score_of(shaped, opened, lambda piece: None).value
    there = {figure["key"]: figure["value"] for figure in answer["figures"]}
    assert {figure.key: figure.value for figure in costs(shaped, opened)}.items() <= there.items()
    assert [layer["name"] for layer in answer["picture"]["layers"]] == opened.layers
    assert answer["command"].startswith("ofa studio run=tiny extract=by-hand 'setting={")


def test_two_settings_are_compared(client: Any) -> None:
    answer = merged(lines(client, "evaluate", setting={}, against={"sparsity": 0.95}))
    assert "points" in answer["difference"]
    assert merged(lines(client, "evaluate", setting={}, against={}))["difference"] == "0.00 ± 0.00 points"


def test_an_error_of_a_setting_is_one_line(client: Any) -> None:
    for setting, said in (
        ({"sparsity": 1.5}, "setting.sparsity=1.5 must be a number, at least 0 and less than 1"),
        ({"layers": {"stem": 0.5}}, "setting.layers.stem is no layer's weight"),
        ({"sparsit": 0.5}, "setting.sparsit is unknown; did you mean sparsity"),
        (7, "setting=7 must be"),
    ):
        *_, last = lines(client, "evaluate", setting=setting)
        assert said in last["error"] and "\n" not in last["error"]


def test_what_fails_in_the_server_is_said_without_its_trace() -> None:
    def fails(body: Mapping[str, Any], tell: Tell) -> None:
        tell({"text": "begins"})
        raise ZeroDivisionError("of what\nit did")

    assert lines(client_of({"fail": ("live", fails)}), "fail") == [
        {"text": "begins"},
        {"error": "unexpected ZeroDivisionError: of what it did"},
    ]


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as other:
        other.bind((server.HOST, 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port={port} cannot be used"):
            server.bound(port)
