"""The handwritten digits that come with scikit-learn: 1797 gray images of 8x8 pixels, nothing to download."""

from __future__ import annotations

import torch
from torch.nn import functional

from ofa.data.dataset import Dataset, Split, ordered
from ofa.data.splitting import stratified
from ofa.data.statistics import preprocessing_of
from ofa.errors import InvalidInput


def digits(*, image_size: int = 8, validation: float = 0.2, test: float = 0.2, seed: int = 0) -> Dataset:
    """Returns the digits, ten classes, as images (1, image_size, image_size), normalized.

    `validation` and `test` are fractions of the 1797 images; the split is stratified and a function of
    `seed` (the set is fixed: no image is ever added that could move others). Sizes other than 8 are resized
    (bilinear, antialiased).

    Raises:
        InvalidInput: a size below 4, or fractions that leave no training images.
    """
    from sklearn.datasets import load_digits  # a slow import, needed only here

    if image_size < 4:
        raise InvalidInput(f"digits image_size={image_size}: must be at least 4")
    images, targets = load_digits(return_X_y=True)
    pixels = torch.from_numpy(images).float().view(-1, 1, 8, 8)  # gray levels 0 to 16
    labels = torch.from_numpy(targets).long()
    if image_size != 8:
        pixels = functional.interpolate(pixels, (image_size, image_size), mode="bilinear", antialias=True)
    parts = stratified(labels, {"validation": validation, "test": test}, seed=seed)
    method = "none" if image_size == 8 else "bilinear, antialiased"
    preprocessing = preprocessing_of(pixels[parts["train"]], scale=16.0, resize=method, stored="gray levels, 0 to 16")
    origins = {"validation": f"{100 * validation:g} % of ", "test": f"{100 * test:g} % of "}
    splits = {
        part: Split(pixels[rows], labels[rows], preprocessing, origin=f"{origins.get(part, '')}scikit-learn's digits")
        for part, rows in parts.items()
    }
    return Dataset("digits", *ordered(splits), num_classes=10, class_names=tuple("0123456789"))
