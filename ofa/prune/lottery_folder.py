"""The folder of a lottery run: one row of results per level and control, and the tensors to resume from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import torch
from torch import Tensor

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.errors import InvalidInput
from ofa.identity import as_json, check_same
from ofa.records import Count, Fraction, Object, Record, Text, read_content, write_content


class LotterySettings(Record, frozen=True, kw_only=True):
    """settings.json of a lottery run."""

    KIND: ClassVar[str] = "lottery settings"
    REMEDY: ClassVar[str] = "restore it, or use another folder"

    settings: Object


class LotteryResult(msgspec.Struct, frozen=True, kw_only=True):
    """A finished level or control; the results of its training are stored beside it."""

    level: Count
    kind: Text
    seed: int
    asked: Fraction
    density: Fraction
    kept: Count
    weights: Count


class LotteryRow(Record, frozen=True, kw_only=True):
    """The file of a level or control."""

    KIND: ClassVar[str] = "lottery row"
    REMEDY: ClassVar[str] = "delete it to train that level again, or use another folder"

    row: LotteryResult


@dataclass(frozen=True)
class LotteryFolder:
    """Files `settings.json`, `start.safetensors`, and for each level `level_03.masks.safetensors`,
    `level_03.trained.safetensors`, `level_03.ticket.json` and one JSON row per control.

    A row is written last, so a level with a row is finished and whole.
    """

    path: Path

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Writes the settings, or checks them against those of the run that is there.

        Raises:
            InvalidInput: the folder holds a run with other settings.
        """
        file = self.path / "settings.json"
        if file.exists():
            check_same(as_json(settings), read_content(file, LotterySettings)["settings"], str(file))
        else:
            write_content(file, LotterySettings, {"settings": as_json(settings)})

    def row(self, level: int, kind: str, density: float) -> dict[str, Any] | None:
        """Returns the finished row of a level, `kind` being "ticket" or a control; None where there is none.

        Raises:
            InvalidInput: the row is of another density than the requested one, or damaged.
        """
        file = self._file(level, f"{kind}.json")
        if not file.exists():
            return None
        content: dict[str, Any] = read_content(file, LotteryRow)["row"]
        if not math.isclose(content["asked"], density):
            raise InvalidInput(
                f"{file} is of density {content['asked']}, level {level} was now requested with {density}; "
                f"request the same density, or use another folder"
            )
        return content

    def write_row(self, level: int, kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the row as it is read back.

        Raises:
            InvalidInput: the row holds something that JSON cannot, NaN included.
        """
        try:
            write_content(self._file(level, f"{kind}.json"), LotteryRow, {"row": {"level": level, "kind": kind, **row}})
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"train returned {dict(row)!r}, which is not JSON ({error})") from None
        content: dict[str, Any] = read_content(self._file(level, f"{kind}.json"), LotteryRow)["row"]
        return content

    def masks(self, level: int) -> dict[str, Tensor]:
        """Returns the masks of a level, bool by name.

        Raises:
            InvalidInput: they are missing or damaged.
        """
        return {name: mask.bool() for name, mask in load_checkpoint(self._file(level, "masks.safetensors"))[0].items()}

    def write_masks(self, level: int, masks: Mapping[str, Tensor]) -> None:
        """Writes the masks of a level."""
        save_checkpoint(self._file(level, "masks.safetensors"), {n: m.to(torch.uint8) for n, m in masks.items()}, {})

    def trained(self, level: int) -> dict[str, Tensor]:
        """Returns the ticket's parameters and buffers after its training.

        Raises:
            InvalidInput: they are missing or damaged.
        """
        return load_checkpoint(self._file(level, "trained.safetensors"))[0]

    def write_trained(self, level: int, tensors: Mapping[str, Tensor]) -> None:
        """Writes the ticket's parameters and buffers after its training."""
        save_checkpoint(self._file(level, "trained.safetensors"), tensors, {})

    def start(self) -> dict[str, Tensor] | None:
        """Returns the parameters and buffers that tickets are rewound to, None before there are any."""
        file = self.path / "start.safetensors"
        return load_checkpoint(file)[0] if file.exists() else None

    def write_start(self, tensors: Mapping[str, Tensor]) -> None:
        """Writes what tickets are rewound to."""
        save_checkpoint(self.path / "start.safetensors", tensors, {})

    def _file(self, level: int, rest: str) -> Path:
        return self.path / f"level_{level:02d}.{rest}"
