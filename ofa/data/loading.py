"""Image data sets from parquet files, image folders or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Preprocessing, Split, ordered
from ofa.data.decoding import RESIZE, EncodedImages, ImageFormat, format_of
from ofa.data.identity import uniform
from ofa.data.image_files import Reading
from ofa.data.pixel_range import pixel_range
from ofa.data.sources import Source, open_sources
from ofa.data.splitting import by_identity
from ofa.data.statistics import preprocessing_of
from ofa.errors import InvalidInput

_LIMIT_SEED_OFFSET = 1  # added to the seed for what `limit_*` keeps, so it is independent of the split a sample went to


def hub(
    *,
    path: str,
    name: str | None = None,
    subset: str | None = None,
    image_column: str = "image",
    label_column: str = "label",
    image_size: int | Sequence[int] | None = None,
    channels: int | None = None,
    train: str = "train",
    validation: str | None = None,
    test: str | None = "test",
    validation_fraction: float = 0.1,
    test_fraction: float = 0.1,
    limit_train: int | None = None,
    limit_validation: int | None = None,
    limit_test: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    scale: float | None = None,
    seed: int = 0,
    memory_limit_mib: int = 2048,
    max_megapixels: float = 64,
    outside_links: bool = False,
    threads: int = 0,
    cache_dir: str | None = None,
) -> Dataset:
    """Returns the data set at `path`: a parquet file, a folder of those or of images, or a name on the hub.

    `train`, `validation` and `test` name its splits; a validation or test of None is cut out of the training
    images (`validation_fraction`, `test_fraction` of them): each by its content and `seed` alone, so that more
    images never move one (see `ofa.data.splitting.by_identity`). "auto" takes the split or folder that is
    there (val, valid, validation, dev; test, testing), and cuts where there is none. `limit_*` keeps that many
    images of a split, drawn by `seed`. Images become `image_size` (pixels, or height and width; None: all have
    the first one's) with `channels` 1 or 3 (None: as the first). Pixels of 16 bits or floating point keep
    their values; `scale`, what is divided by, is where their range ends (see `pixel_range`) if it is not given.
    Splits that take at most `memory_limit_mib` MiB as stored are decoded at once, larger ones batch by batch.
    `mean` and `std` (per channel, of pixels divided by `scale`) are measured where not given. `name` is how the
    data set is called in reports, `subset` its configuration.

    Images of more than `max_megapixels` are refused by their header. Files are read inside the data's folder
    alone; with `outside_links` also where links in it lead. What is known of files is kept in `cache_dir`.

    Raises:
        InvalidInput: nothing at `path`, a missing split or column, a column without images, images that
            differ in size or depth, labels unknown to the training images, a class without training images, or
            the extra `data` not installed.
    """
    stored = open_sources(
        path,
        {"train": train, "validation": validation, "test": test},
        image=image_column,
        label=label_column,
        subset=subset,
        cache_dir=cache_dir,
        reading=Reading(max_megapixels, outside=outside_links),
    )
    used = stored.parts
    fractions = {"test": test_fraction, "validation": validation_fraction}
    cuts = {f"{part}_fraction": value for part, value in fractions.items() if part not in used}
    rows = _rows(used, cuts, seed, stored.class_names)
    limits = {"train": limit_train, "validation": limit_validation, "test": limit_test}
    rows = {part: _limited(used.get(part, used["train"]), rows[part], limits[part], part, seed) for part in limits}

    first = used["train"]
    form = format_of(
        first.images[[0]][0],
        image_size=image_size,
        channels=channels,
        origin=f"{first.origin}, row 0",
        reading=stored.reading,
    )
    pixels: dict[str, Tensor | EncodedImages] = {}
    for part in rows:
        source = used.get(part, first)
        encoded = EncodedImages(source.images, rows[part], form, source.origin, threads, stored.reading)
        pixels[part] = encoded.decoded() if encoded.size_bytes <= memory_limit_mib * 2**20 else encoded
    preprocessing = _preprocessing(pixels, form, mean, std, scale)
    splits = {}
    for part in rows:
        source = used.get(part, first)
        share = "" if part in used else f"{100 * fractions[part]:g} % of "
        splits[part] = Split(
            pixels[part],
            source.labels[rows[part]],
            preprocessing,
            4 * memory_limit_mib * 2**20,  # float32 takes four times the bytes of uint8
            known_identities=source.identities[rows[part]],
            origin=share + source.words,
        )
    return Dataset(name or path, *ordered(splits), num_classes=stored.num_classes, class_names=stored.class_names)


def _rows(
    used: Mapping[str, Source], cuts: Mapping[str, float], seed: int, class_names: Sequence[str]
) -> dict[str, Tensor]:
    """Returns the rows of each part within its source; those in `cuts` are cut out of the training images."""
    rows = {part: torch.arange(len(source.labels)) for part, source in used.items()}
    if cuts:
        train = used["train"]
        cut = by_identity(train.identities, train.labels, cuts, seed=seed, class_names=class_names)
        rows |= {part.removesuffix("_fraction"): fraction for part, fraction in cut.items()}
    return rows


def _limited(source: Source, rows: Tensor, limit: int | None, part: str, seed: int) -> Tensor:
    """Returns up to `limit` of the rows, drawn by their identities and `seed`, in their order."""
    if limit is None:
        return rows
    if limit < 1:
        raise InvalidInput(f"limit_{part}={limit}: must be at least 1")
    order = torch.from_numpy(uniform(source.identities[rows], seed + _LIMIT_SEED_OFFSET)).argsort(stable=True)
    return rows[order[:limit].sort().values]


def _preprocessing(
    pixels: Mapping[str, Tensor | EncodedImages],
    form: ImageFormat,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    scale: float | None,
) -> Preprocessing:
    if (mean is None) != (std is None):
        raise InvalidInput("give mean and std together, or neither")
    if scale is not None and not scale > 0:
        raise InvalidInput(f"scale={scale}: must be above 0")
    end, words = pixel_range(pixels.values(), form.depth)
    end = end if scale is None else float(scale)
    resize = RESIZE if form.resize else "none"
    if mean is None or std is None:
        return preprocessing_of(pixels["train"], scale=end, resize=resize, stored=words)
    if len(mean) != form.channels or len(std) != form.channels:
        raise InvalidInput(
            f"mean {list(mean)} and std {list(std)}: give {form.channels} numbers in each, one per channel"
        )
    return Preprocessing(end, tuple(mean), tuple(std), resize, words)
