"""How much memory a search takes whose validation images do not fit in it: the shape of ImageNet's, by 8 evaluators.

Images of noise over a pattern of their class are written to .npy files (7.5 GB of them), a small MobileNet is trained
on a few, and searched with the validation images on disk. Memory is that of the command and all its descendants: the
proportional set sizes that Linux keeps (smaps_rollup), in which a page that processes share is counted once. What
the system keeps of files that were read is left out: it gives that up when memory is wanted.

    python -m benchmarks.large_validation
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from benchmarks.killing.verbs import DEVICE
from ofa.paths import write_json
from search.device.standalone.machine import describe_machine

CLASSES = 10
LIMIT_GIB = 4
PIECE = 256  # images that are written at a time
# Latencies are no matter here, so the device is simulated: a busy machine measures as well as any other.
ON_DEVICE = (
    "from benchmarks.killing.simulated_device import use_simulated_clock; use_simulated_clock(); "
    "from search.app.main import main; raise SystemExit(main())"
)
MODEL = (
    "model=mobilenet",
    "model.stem_width=8",
    "model.stem_stride=4",
    "model.head_width=64",
    "+model.stages=[{width:8,blocks:1,stride:2,expansion:1},{width:16,blocks:2,stride:2,expansion:2},"
    "{width:32,blocks:2,stride:2,expansion:2}]",
)


def write_images(folder: Path, part: str, count: int, size: int, seed: int) -> None:
    """Writes inputs.npy (count, 3, size, size) of bytes, no two images alike, and targets.npy of a split."""
    (folder / part).mkdir(parents=True)
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(0).integers(0, 128, (CLASSES, 3, size, size), dtype=np.uint8)
    noise = rng.integers(0, 128, (PIECE, 3, size, size), dtype=np.uint8)
    labels = rng.integers(0, CLASSES, count)
    np.save(folder / part / "targets.npy", labels)
    path = folder / part / "inputs.npy"
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, 3, size, size)}
        np.lib.format.write_array_header_2_0(file, header)  # type: ignore[no-untyped-call]
        for start in range(0, count, PIECE):
            some = labels[start : start + PIECE]
            images = patterns[some] + np.roll(noise, start // PIECE, axis=-1)[: len(some)]
            number = np.arange(start, start + len(some), dtype="<u4") + (seed << 24)
            images[:, 0, 0, :4] = number.view(np.uint8).reshape(-1, 4)
            file.write(images.tobytes())


def descendants(root: int) -> list[int]:
    """Returns the process and all that came of it and still run."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):
                continue
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


def proportional_bytes(process: int) -> dict[str, int]:
    """Returns the proportional set size of a process and its parts in bytes; nothing of one that has ended."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    rows = [line.split() for line in lines[1:]]
    return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if row[0].startswith("Pss")}


class Watch:
    """The most memory that a command and its descendants took, looked at a few times a second."""

    def __init__(self, process: int) -> None:
        self.peak: dict[str, int] = {}
        self.processes = 0
        self._process = process
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.2):
            found = [sizes for sizes in map(proportional_bytes, descendants(self._process)) if sizes]
            total: dict[str, int] = {}
            for sizes in found:
                for name, value in sizes.items():
                    total[name] = total.get(name, 0) + value
            self.processes = max(self.processes, len(found))
            if total.get("Pss", 0) > self.peak.get("Pss", 0):
                self.peak = total


def run(verb: str, folder: Path, *overrides: str) -> dict[str, float]:
    """Runs a verb; returns its seconds and the most memory it took, in GiB."""
    command = [sys.executable, "-W", "ignore", "-c", ON_DEVICE, verb, "run=large", "trust=[benchmarks]", *overrides]
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    with (folder / f"{verb}.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        with Watch(process.pid) as watch:
            process.wait()
    if process.returncode:
        raise SystemExit(f"ofa {verb} failed:\n{(folder / f'{verb}.log').read_text()[-3000:]}")
    parts = {name.lower() + "_gib": value / 2**30 for name, value in watch.peak.items()}
    return {"seconds": time.monotonic() - start, "processes": watch.processes, **parts}


def main() -> None:
    """Writes the images, trains and searches, prints what each took and writes it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=50_000, help="for validation")
    parser.add_argument("--size", type=int, default=224, help="pixels along a side")
    parser.add_argument("--train", type=int, default=2048, help="images to train on")
    parser.add_argument("--workers", type=int, default=8, help="evaluators")
    parser.add_argument("--evaluations", type=int, default=8)
    parser.add_argument("--folder", type=Path, default=None, help="for the images, which are deleted afterwards")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/large_validation.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        counts = {"train": options.train, "validation": options.images, "test": min(options.images, 256)}
        for seed, (part, count) in enumerate(counts.items(), 1):
            write_images(folder / "images", part, count, options.size, seed)
        data = ("data=npz", f"data.dataset.path={folder / 'images'}", f"data.dataset.num_classes={CLASSES}")
        rows = {"train": run("train", folder, *MODEL, *data, "train.epochs=1", "train.batch_size=32")}
        rows["profile"] = run("profile", folder, *DEVICE)
        searched = [f"search.evaluations={options.evaluations}", f"engine.workers={options.workers}", "sampler=random"]
        searched += ["search.finalists.visits=4", "search.finalists.candidates=1", "search.latency_fractions=[0.7]"]
        rows["search"] = run("search", folder, *DEVICE, *searched)
    for verb, row in rows.items():
        print(f"{verb}: {row['pss_gib']:.2f} GiB in {row['processes']} processes, {row['seconds']:.0f} s", flush=True)
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "options": {key: str(value) for key, value in vars(options).items() if key not in ("output", "folder")},
        "image_gib": options.images * 3 * options.size**2 / 2**30,
        "limit_gib": LIMIT_GIB,
        "within": rows["search"]["pss_gib"] < LIMIT_GIB,
        "rows": rows,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, content)
    print(json.dumps({"within": content["within"], "limit_gib": LIMIT_GIB}))


if __name__ == "__main__":
    main()
