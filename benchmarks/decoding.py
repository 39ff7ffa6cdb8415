"""Images a second from JPEGs at 224 pixels: this loader beside a plain DataLoader that does the same with Pillow.

The photos are noise of several sizes, 500x375 pixels (as ImageNet's mostly are) and 2000x1500. The plain loader opens,
scales to cover, crops around the middle and normalizes an image at a time, in 0, 1 or 2 worker processes; this one
decodes a batch in as many threads, ahead of its use. Runs of the two alternate; times are of the processor,
all processes and threads together, which other work on the machine changes little, and of the clock.

    python -m benchmarks.decoding
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ofa.data import batches, hub
from ofa.paths import write_json
from search.device.standalone.machine import describe_machine

SIZE = 224
BATCH = 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOS = {"500x375": (500, 375), "2000x1500": (2000, 1500)}


def write_photos(folder: Path, count: int, size: tuple[int, int]) -> None:
    """Writes JPEGs of smooth noise with grain, in two classes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        smooth = Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)).resize(
            size, Image.Resampling.BICUBIC
        )
        grain = rng.integers(-12, 12, (size[1], size[0], 3))
        place = folder / "train" / str(number % 2)
        place.mkdir(parents=True, exist_ok=True)
        pixels = (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.jpg", quality=90)


class Photos(Dataset[tuple[Tensor, int]]):
    """What one writes first: a file a row."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.rglob("*.jpg"))
        self.mean, self.std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def __len__(self) -> int:
        """The number of files."""
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """Returns a photo, normalized, and its class."""
        with Image.open(self.files[row]) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (SIZE, SIZE), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.array(fitted)).permute(2, 0, 1).float().div(255)
        return (pixels - self.mean) / self.std, int(self.files[row].parent.name)


def cost(epoch: Callable[[], Iterable[tuple[Tensor, Tensor]]]) -> tuple[float, float]:
    """Returns processor and wall milliseconds an image."""
    start, before, images = time.perf_counter(), os.times(), 0
    for inputs, _ in epoch():
        assert inputs.shape[1:] == (3, SIZE, SIZE) and inputs.dtype == torch.float32
        images += len(inputs)
    wall, after = time.perf_counter() - start, os.times()
    return 1e3 * sum(b - a for a, b in zip(before[:4], after[:4], strict=True)) / images, 1e3 * wall / images


def main() -> None:
    """Prints a table and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/decoding.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    print("| photos | workers | plain, CPU ms an image | this loader | ratio | wall ratio |\n|---|---|---|---|---|---|")
    for name, size in PHOTOS.items():
        with tempfile.TemporaryDirectory() as folder:
            write_photos(Path(folder), options.photos, size)
            arguments = {"path": folder, "image_size": SIZE, "channels": 3, "memory_limit_mib": 0, "cache_dir": folder}
            fractions = {"test": None, "test_fraction": 0.1, "validation_fraction": 0.1}
            for workers in (0, 1, 2):
                data = hub(**arguments, **fractions, mean=MEAN, std=STD, threads=max(1, workers))  # type: ignore[arg-type]
                plain: DataLoader[tuple[Tensor, Tensor]] = DataLoader(Photos(Path(folder)), BATCH, num_workers=workers)
                split = data.train
                found: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
                for turn in range(options.rounds):
                    found["plain"].append(cost(lambda: plain))  # noqa: B023
                    found["ours"].append(cost(lambda: batches(split, BATCH, seed=0, epoch=turn)))  # noqa: B023
                cpu, wall = (
                    {way: statistics.median(run[i] for run in runs) for way, runs in found.items()} for i in (0, 1)
                )
                row = {"photos": name, "workers": workers, "cpu_ms": cpu, "wall_ms": wall, "runs": found}
                rows.append(row)
                ratios = f"{cpu['ours'] / cpu['plain']:.2f} | {wall['ours'] / wall['plain']:.2f}"
                print(f"| {name} | {workers} | {cpu['plain']:.1f} | {cpu['ours']:.1f} | {ratios} |", flush=True)
    content = {"date": datetime.now(UTC).date().isoformat(), "machine": describe_machine(), "rows": rows}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, content)


if __name__ == "__main__":
    main()
