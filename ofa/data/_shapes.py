"""Data sets of generated images of shapes: which they are, where they are, or both for every pixel. Nothing to read."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.data.dataset import PARTS, Dataset, Split, ordered
from ofa.data.scenes import KINDS, Scenes, scenes
from ofa.data.statistics import preprocessing_of
from ofa.data.targets import Targets
from ofa.errors import InvalidInput, nearest

TARGETS = ("masks", "boxes", "labels")


def shapes(
    *,
    targets: str = "masks",
    image_size: int = 64,
    samples: int = 2000,
    kinds: int = 3,
    most: int = 3,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns images (3, image_size, image_size) of shapes of random color, size, place and direction (see `scenes`).

    The targets, for images (N, 3, H, W):
    "masks": (N, H, W) int64, 0 for the background, from 1 for the kinds; one class more than kinds.
    "boxes": {"boxes": (N, most, 4) float32, left, top, right, bottom in pixels, "labels": (N, most) int64 from 0, -1
    where there are fewer shapes}.
    "labels": (N, kinds) float32, 1 for kinds that are there.

    Args:
        targets: one of these.
        image_size: pixels along a side.
        samples: images of all splits.
        kinds: how many of circle, square, triangle, cross and ring.
        most: shapes in an image.
        validation: fraction of the images.
        test: fraction of the images.
        seed: of all of it.

    Raises:
        InvalidInput: unknown targets, an argument out of range, or fractions that leave a split empty.
    """
    if targets not in TARGETS:
        raise InvalidInput(f"shapes targets={targets!r} is unknown; {nearest(targets, TARGETS)}")
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise InvalidInput(f"shapes validation={validation}, test={test}: must be above 0, together below 1")
    counts = {"validation": round(validation * samples), "test": round(test * samples)}
    counts["train"] = samples - sum(counts.values())
    if min(counts.values()) < 1:
        raise InvalidInput(
            f"shapes samples={samples}: too few for validation={validation}, test={test}; give 10 or more"
        )
    drawn = scenes(samples, image_size=image_size, kinds=kinds, most=most, seed=seed)
    rows = dict(zip(PARTS, torch.split(torch.arange(samples), [counts[part] for part in PARTS]), strict=True))
    preprocessing = preprocessing_of(drawn.pixels[rows["train"]], scale=255.0, stored="8 bits, 0 to 255")
    origin = f"made from seed {seed}"
    splits = {
        part: Split(drawn.pixels[index], _targets(drawn, index, targets, kinds), preprocessing, origin=origin)
        for part, index in rows.items()
    }
    names = KINDS[:kinds]
    if targets == "labels":
        return Dataset("shapes", *ordered(splits), target_names=names)
    class_names = ("background", *names) if targets == "masks" else names
    return Dataset("shapes", *ordered(splits), num_classes=len(class_names), class_names=class_names)


def _targets(drawn: Scenes, rows: Tensor, targets: str, kinds: int) -> Targets:
    if targets == "masks":
        return drawn.masks[rows]
    if targets == "boxes":
        return {"boxes": drawn.boxes[rows], "labels": drawn.kinds[rows]}
    return drawn.has[rows, :kinds].float()
