"""Models as people write them, each with an example of its inputs; nothing here knows of this toolkit."""

from __future__ import annotations

from benchmarks.collection import attention, convolutions, hub, language, libraries, unusual
from benchmarks.collection.entry import Entry


def all_entries() -> tuple[Entry, ...]:
    """Returns every model of the collection, those written by hand first; names are distinct."""
    return tuple(
        entry for kind in (convolutions, attention, language, unusual, libraries, hub) for entry in kind.entries()
    )
