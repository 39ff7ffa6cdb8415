"""Targets moved as their images are: masks by the same pixels, boxes by their corners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ofa.errors import InvalidInput


@dataclass(frozen=True, eq=False)
class Move:
    """One move of each image.

    Attributes:
        pixels: (maps (N, ..., H, W), what comes from outside) -> moved maps; classes stay classes.
        boxes: (N, M, 4) -> moved boxes, not cut off.
        size: height and width.
        outside: what masks are where the move shows what is beyond the border.
        least_visible: of a box's area.
    """

    pixels: Callable[[Tensor, float], Tensor]
    boxes: Callable[[Tensor], Tensor]
    size: tuple[int, int]
    outside: int
    least_visible: float


def moved_by(images: Tensor, targets: Any, move: Move) -> tuple[Tensor, Any]:
    """Returns images (N, C, H, W) and their targets after a move; see `ofa.data.joint_augment` for what is moved.

    Raises:
        InvalidInput: a mask for each box, in a list by image.
    """
    return move.pixels(images, 0.0), _targets(targets, move)


def _targets(targets: Any, move: Move) -> Any:
    if isinstance(targets, Tensor):
        is_mask = targets.dim() >= 3 and tuple(targets.shape[-2:]) == move.size
        return move.pixels(targets, move.outside) if is_mask else targets
    if isinstance(targets, tuple):
        return tuple(_targets(part, move) for part in targets)
    if isinstance(targets, list):
        return _by_image(targets, move)
    if not isinstance(targets, Mapping):
        return targets
    moved = {name: _targets(part, move) for name, part in targets.items()}
    if "boxes" in targets:
        labels = targets.get("labels")
        there = torch.ones(targets["boxes"].shape[:2], dtype=torch.bool, device=targets["boxes"].device)
        there = there if labels is None else labels >= 0
        boxes, visible = _boxes(targets["boxes"], there, move)
        moved["boxes"] = boxes
        if labels is not None:
            moved["labels"] = torch.where(visible, labels, torch.full_like(labels, -1))
    return moved


def _boxes(given: Tensor, there: Tensor, move: Move) -> tuple[Tensor, Tensor]:
    """Boxes moved and cut off, 0 where there are none (any more), and which there are."""
    height, width = move.size
    whole = move.boxes(given)
    ends = torch.tensor([width, height, width, height], device=given.device, dtype=given.dtype)
    cut = torch.minimum(whole.clamp(min=0), ends)
    visible = there & (_area(cut) >= move.least_visible * _area(whole)) & (_area(cut) > 0)
    return torch.where(visible[..., None], cut, torch.zeros_like(cut)), visible


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _by_image(entries: list[Any], move: Move) -> list[Any]:
    """A list of dictionaries, an image each: padded, moved together, and cut apart again."""
    if not all(isinstance(entry, Mapping) and "boxes" in entry for entry in entries):
        return entries
    counts = [len(entry["boxes"]) for entry in entries]
    first = entries[0]["boxes"]
    boxes = first.new_zeros(len(entries), max(1, *counts), 4)
    there = torch.zeros(boxes.shape[:2], dtype=torch.bool, device=first.device)
    for row, entry in enumerate(entries):
        boxes[row, : counts[row]] = entry["boxes"].reshape(-1, 4)
        there[row, : counts[row]] = True
    moved, visible = _boxes(boxes, there, move)
    return [
        _entry(entry, moved[row, : counts[row]], visible[row, : counts[row]], move) for row, entry in enumerate(entries)
    ]


def _entry(entry: Mapping[str, Any], boxes: Tensor, visible: Tensor, move: Move) -> dict[str, Any]:
    result = {}
    for name, value in entry.items():
        if name == "boxes":
            result[name] = boxes[visible]
        elif isinstance(value, Tensor) and value.dim() and len(value) == len(visible):
            if value.dim() == 3 and tuple(value.shape[-2:]) == move.size:
                raise InvalidInput(
                    f"targets have {name!r}, a mask for each box, in a list by image; give masks as one tensor "
                    "(N, H, W), or leave them out"
                )
            result[name] = value[visible]
        else:
            result[name] = value
    return result
