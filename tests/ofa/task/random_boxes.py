"""Images with random boxes, and detections that find most of them."""

from __future__ import annotations

import torch
from torch import Tensor

Images = list[dict[str, Tensor]]


def box(*numbers: float) -> Tensor:
    return torch.tensor([numbers])


def random_images(seed: int, images: int = 30, classes: int = 3) -> tuple[Images, Images]:
    """Detections that find most of the true boxes, some twice and some badly, with scores that tie now and then."""
    generator = torch.Generator().manual_seed(seed)
    found, true = [], []
    for _ in range(images):
        count = int(torch.randint(0, 6, (1,), generator=generator))
        corner = torch.randint(0, 80, (count, 2), generator=generator)
        boxes = torch.cat([corner, corner + torch.randint(10, 40, (count, 2), generator=generator)], 1).float()
        labels = torch.randint(classes, (count,), generator=generator)
        moved = boxes.repeat(2, 1) + torch.randint(-4, 5, (2 * count, 4), generator=generator)
        kept = torch.rand(2 * count, generator=generator) < 0.6
        named = torch.where(
            torch.rand(2 * count, generator=generator) < 0.85,
            labels.repeat(2),
            torch.randint(classes, (2 * count,), generator=generator),
        )
        likely = torch.randint(1, 20, (2 * count,), generator=generator) / 20
        found.append({"boxes": moved[kept], "scores": likely[kept], "labels": named[kept]})
        true.append({"boxes": boxes, "labels": labels})
    return found, true
