"""Search: which subnet of a supernet to take, for which device and limits. In Python: adopt, profile, find and load."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.door.adopt import adopt
    from search.door.find import find, profile
    from search.networks.rebuild import load

__all__ = ["adopt", "find", "load", "profile"]

_MODULES = {
    "adopt": "search.door.adopt",
    "find": "search.door.find",
    "load": "search.networks.rebuild",
    "profile": "search.door.find",
}


def __getattr__(name: str) -> Any:
    """Returns a function when it is first used: `import search` alone imports no library."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Returns the public names alone."""
    return sorted(__all__)
