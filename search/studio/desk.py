"""Work that the page asks for, in threads: told piece by piece, and ended as soon as it is no longer wanted."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Any, TypeAlias

from ofa.errors import InvalidInput
from search.studio.pacing import Tell

# Does one thing that the page asks for: given what it sent, and where to send what is found, piece by piece.
Action: TypeAlias = Callable[[Mapping[str, Any], Tell], None]


class Superseded(Exception):
    """The page asked for something else of the same kind, or is gone."""


class Desk:
    """Work in threads: one of each lane at a time, and of one slot only the newest, which ends the one before."""

    def __init__(self, lanes: Mapping[str, str]) -> None:
        self._lanes = {name: ThreadPoolExecutor(1, thread_name_prefix=name) for name in set(lanes.values())}
        self._lane_of = dict(lanes)
        self._newest: dict[str, Event] = {}
        self._lock = Lock()

    async def stream(self, slot: str, action: Action, body: Mapping[str, Any]) -> AsyncIterator[bytes]:
        """Yields what an action tells as lines of JSON; the last is {"done": true}, {"superseded": ...} or an error."""
        ended, loop, lines = Event(), asyncio.get_running_loop(), asyncio.Queue[dict[str, Any] | None]()
        with self._lock:
            if (before := self._newest.get(slot)) is not None:
                before.set()
            self._newest[slot] = ended

        def put(line: dict[str, Any] | None) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(lines.put_nowait, line)

        def tell(piece: Mapping[str, Any]) -> None:
            if ended.is_set():
                raise Superseded
            if piece:
                put(dict(piece))

        def work() -> None:
            try:
                tell({})
                action(body, tell)
                put({"done": True})
            except Superseded:
                put({"superseded": True})
            except InvalidInput as error:
                put({"error": " ".join(str(error).split(":\n")[0].split())})
            except Exception as error:  # the page says it; the terminal has the rest
                logging.getLogger(__name__).exception("studio: %s failed", slot)
                put({"error": f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"})
            finally:
                put(None)

        self._lanes[self._lane_of[slot]].submit(work)
        try:
            while (line := await lines.get()) is not None:
                yield json.dumps(line).encode() + b"\n"
        finally:
            ended.set()

    def close(self) -> None:
        """Ends all work."""
        with self._lock:
            for ended in self._newest.values():
                ended.set()
        for lane in self._lanes.values():
            lane.shutdown(wait=False, cancel_futures=True)
