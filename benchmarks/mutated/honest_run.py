"""A small run folder that holds every kind of file that the product writes, made by the product's own verbs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

import ofa.compress
from ofa.models import LeNet5
from search.app.main import main

DATA = ["data.dataset.samples=160", "train.calibration_images=64", "train.validate_every=1"]
TRAIN = ["train", "experiment=tiny", "train.epochs=1", *DATA]
QUICK = ["device.profile.anchors=8", "device.profile.visits=6", "device.profile.repeats=2", "device.profile.seconds=2"]
QUICK += ["device.profile.blocks=6", "device.profile.clock=cpu"]  # which does not mind what else runs here
ON = {"here": ["device=eager", *QUICK], "there": ["device=pi5", *QUICK]}
FINALISTS = ["search.finalists.visits=6", "search.finalists.repeats=2", "search.finalists.seconds=0.5"]
SEARCH = ["run=tiny", *ON["here"], "search.evaluations=6", "search.calibration_images=32", *FINALISTS]
SEARCH += ["latency_ms=1000"]  # that everything meets
JOINT = ["search=joint", "search.tuning.epochs=1", "search.tuning.zero_shot=10", "search.tuning.finalist_epochs=1"]
JOINT += ["search.tuning.rungs=[0]", "search.finalists.candidates=1", "search.warm_start=[plain]"]
PRUNE = ["prune", "run=tiny", "model=lenet5", "data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=160"]
PRUNE += ["dense.epochs=1", "dense.batch_size=32", "dense.validate_every=1", "prune.retraining.epochs=1"]
VERBS: tuple[Sequence[str], ...] = (
    TRAIN,
    [*TRAIN, "run=other", "seed=1"],
    ["profile", "run=tiny", *ON["here"]],
    ["profile", "run=tiny", *ON["there"], "bundle=pi5.zip"],
    ["search", *SEARCH, "study=plain"],
    ["search", *SEARCH, *JOINT, "study=joint"],
    ["extract", "run=tiny", "export.calibration_images=32"],
    ["compare", "run=tiny", "visits=4", "repeats=2", "seconds=1", "calibration_images=32"],
    [*PRUNE, "prune=cubic", "name=sparse"],
    [*PRUNE, "prune=channels", "name=slim"],
    ["compress", "run=tiny", "study=plain", "compress=code_only"],
    [
        "compress",
        "run=tiny",
        "pruned=sparse",
        "compress.sparsity=0.95",
        "compress.epochs=1",
        "compress.codebook_epochs=1",
    ],
    ["compress", "run=tiny", "pruned=slim", "compress=code_only"],
    [*PRUNE, "prune=lottery", "prune.method.rounds=1", "prune.method.controls=[]", "name=lottery"],
)
LONG = ["device.profile.visits=9999", "device.profile.seconds=600"]
CUT_OFF = (  # verbs that are stopped on the way, when they have left something
    ([*TRAIN, "run=cut", "train.epochs=9999", "train.checkpoint_seconds=0"], "checkpoint.safetensors"),
    (["profile", "run=other", *ON["here"], *LONG], "*.rounds.jsonl"),
)
TRIES = 8
LEAST = 3000  # bytes of what they leave
STOPPED = 143  # the exit code of a verb that was


def make_runs(folder: Path) -> None:
    """Makes runs in `folder`/outputs, of which `tiny` is whole, and a bundle with what was measured of it.

    Raises:
        RuntimeError: a verb fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        for verb in VERBS:
            _call(verb)
        _call(["profile", "run=tiny", *ON["there"], "import=device/profile.json"], _measure_there)
        _call(["report", "run=tiny"])
        for verb, leaves in CUT_OFF:
            _cut_off(verb, leaves)
        write_coded(Path("outputs/tiny/coded"))
    finally:
        os.chdir(before)


def write_coded(folder: Path) -> None:
    """Writes coded tensors of every coding (levels in a matrix, numbers, tables, pooled, one value), and a supernet."""
    generator = torch.Generator().manual_seed(0)
    kept = torch.rand(24, 40, generator=generator) < 0.1
    numbers = torch.randn(24, 40, generator=generator)
    tensors = {
        "levels": torch.where(kept, numbers.round(), 0.0),
        "numbers": torch.where(kept, numbers, 0.0),
        "dense": torch.randn(400, generator=generator),
        "table": torch.randint(0, 5, (300,), generator=generator).float(),
        **{f"bias{place}": torch.randn(7, generator=generator) for place in range(3)},
        "mask": kept,
        "count": torch.tensor(7),
    }
    ofa.compress.save(folder / "a.ofaz", tensors, {"arch": {"width": [1, 2, 3]}})
    ofa.compress.save(folder / "b.ofaz", {name: tensors[name] for name in ("levels", "count")}, {})
    supernet = ofa.Supernet(LeNet5((1, 8, 8), 4, channels=(8, 12), hidden=(20, 12)), torch.zeros(1, 1, 8, 8))
    archs = [supernet.space.smallest.to_dict(), supernet.space.largest.to_dict()]
    ofa.compress.save(folder / "supernet.ofaz", supernet.model.state_dict(), {"archs": archs})


def _call(arguments: Sequence[str], before: Callable[[], None] = lambda: None) -> None:
    """Runs a verb, and again where the machine was too busy to measure."""
    for _ in range(TRIES):
        before()
        if not (code := main(arguments)):
            return
    raise RuntimeError(f"ofa {' '.join(arguments)} ended with {code}")


def _measure_there() -> None:
    """Runs the script of a bundle, as on the device."""
    device = Path("device")
    shutil.rmtree(device, ignore_errors=True)
    with zipfile.ZipFile("pi5.zip") as file:
        file.extractall(device)
    subprocess.run([sys.executable, "measure.py"], cwd=device, check=True, capture_output=True)


def _cut_off(arguments: Sequence[str], leaves: str) -> None:
    """Runs a verb until it has left a file of such a name, and stops it as a batch system does."""
    ended = threading.Event()

    def stop() -> None:
        while not any(path.stat().st_size > LEAST for path in Path("outputs").rglob(leaves)):
            if ended.wait(0.05):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    watcher = threading.Thread(target=stop)
    watcher.start()
    try:
        code = main(arguments)
    finally:
        ended.set()
        watcher.join()
    if code != STOPPED:
        raise RuntimeError(f"ofa {' '.join(arguments)} ended with {code} before it left {leaves}")
