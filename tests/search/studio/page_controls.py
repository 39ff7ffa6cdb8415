"""What a person does with the controls of the studio's page, and what is read there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.browser import Page

SCORED = "document.querySelector('[data-figure=score]') !== null"
SETTLED = f"document.getElementById('working').textContent === '' && {SCORED}"


@contextmanager
def at_rest(browser: Page, url: str) -> Iterator[Page]:
    """Gives a page that has just been opened and is at rest; nothing may have gone wrong at the end."""
    browser.look(1440)
    browser.open("about:blank")
    browser.open(url)
    browser.wait(SCORED)
    settle(browser)
    yield browser
    assert browser.errors == []
    assert browser.value("document.getElementById('error').hidden"), browser.text()[:500]


def settle(page: Page) -> None:
    page.wait(SETTLED)
    page.wait("!document.querySelector('[data-figure=score] .value').textContent.includes('…')")


def put(page: Page, identity: str, value: Any, *, settles: bool = True) -> None:
    """Gives a control a value, as moving it does."""
    page.value(
        f"(control => {{ control.value = {json.dumps(value)};"
        "for (const kind of ['input', 'change']) control.dispatchEvent(new Event(kind, {bubbles: true}));"
        f"}})(document.getElementById({json.dumps(identity)}))"
    )
    if settles:
        settle(page)


def press(page: Page, identity: str) -> None:
    page.value(f"document.getElementById({json.dumps(identity)}).click()")


def text(page: Page, selector: str) -> str:
    return str(page.value(f"document.querySelector({json.dumps(selector)}).textContent"))


def figure(page: Page, key: str) -> str:
    return text(page, f'[data-figure="{key}"] .value')
