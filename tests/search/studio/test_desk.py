"""Work that nobody waits for any more ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from threading import Event
from typing import Any

from search.studio.desk import Action, Desk
from search.studio.pacing import Tell


async def heard(desk: Desk, slot: str, action: Any) -> list[dict[str, Any]]:
    return [json.loads(line) async for line in desk.stream(slot, action, {})]


def endless() -> tuple[Event, Event, Action]:
    """Work that ends when it is no longer wanted alone, and what is set when it has begun and ended."""
    begun, ended = Event(), Event()

    def work(body: Mapping[str, Any], tell: Tell) -> None:
        begun.set()
        try:
            while True:
                tell({"text": "works"})
                ended.wait(0.001)
        finally:
            ended.set()

    return begun, ended, work


def test_a_newer_request_ends_the_one_before_and_another_slot_goes_on() -> None:
    begun, ended, long = endless()

    async def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        desk = Desk({"live": "one", "other": "two"})
        first = asyncio.create_task(heard(desk, "live", long))
        await asyncio.to_thread(begun.wait, 10)
        assert await heard(desk, "other", lambda body, tell: tell({"a": 1})) == [{"a": 1}, {"done": True}]
        second = await heard(desk, "live", lambda body, tell: tell({"b": 2}))
        return await first, second

    first, second = asyncio.run(both())
    assert first[-1] == {"superseded": True} and ended.is_set()
    assert second == [{"b": 2}, {"done": True}]


def test_who_goes_away_ends_the_work() -> None:
    _, ended, long = endless()

    async def leaves() -> None:
        desk = Desk({"live": "one"})
        stream = desk.stream("live", long, {})
        assert json.loads(await anext(stream)) == {"text": "works"}
        await stream.aclose()

    asyncio.run(leaves())
    assert ended.wait(10)
