"""Candidate: what one trial stands for, an Arch and the settings of its fine-tuning."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ofa.arch import Arch
from ofa.errors import InvalidInput

Setting = bool | int | float | str


@dataclass(frozen=True)
class Candidate:
    """An Arch, and a value for each parameter that counts beside it; none where a search is over Archs alone.

    Settings are canonical: in the order of their parameters, those that do not count left out. Equal candidates are
    therefore equal objects.
    """

    arch: Arch
    settings: tuple[tuple[str, Setting], ...] = ()

    @cached_property
    def values(self) -> Mapping[str, Setting]:
        """The settings by name."""
        return dict(self.settings)

    @cached_property
    def key(self) -> str:
        """The candidate as text; without settings the JSON of its Arch."""
        return f"{self.arch.to_json()}{json.dumps(dict(self.settings)) if self.settings else ''}"

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the key."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The Arch and the settings as JSON-able values."""
        return {"arch": self.arch.to_dict(), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, value: Any) -> Candidate:
        """Returns the Candidate that `to_dict` wrote.

        Raises:
            InvalidInput: something else.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("settings", {}), Mapping):
            raise InvalidInput(f"a candidate must be an object with arch and settings, not {value!r:.60}")
        settings = value.get("settings", {})
        for name, setting in settings.items():
            if not isinstance(setting, bool | int | float | str):
                raise InvalidInput(f"setting {name} = {setting!r} must be a number, a text, true or false")
        return cls(Arch.from_dict(value.get("arch")), tuple(settings.items()))
