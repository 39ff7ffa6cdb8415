"""Evaluator: the accuracy of a subnet as it stands in the supernet, kept on disk for every later search."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ofa.arch import Arch
from ofa.calibrate import calibrate
from ofa.errors import InvalidInput
from ofa.evaluate import evaluate
from ofa.supernet import Supernet
from search.evaluation import Evaluation


class AccuracyCache:
    """Accuracies by Arch in a file of JSON lines that several processes may append to.

    A line is one write at the end of the file, so lines never mix; one that a power cut left unfinished is
    ignored.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, float] = {}
        self._read = 0  # bytes

    def get(self, arch: Arch) -> float | None:
        """Returns the accuracy of `arch`, or None where nobody has written it yet."""
        if arch.digest not in self._known:
            self._read_on()
        return self._known.get(arch.digest)

    def put(self, arch: Arch, evaluation: Evaluation) -> None:
        """Appends the accuracy of `arch`."""
        record = {
            "digest": arch.digest,
            "accuracy": evaluation.accuracy,
            "seconds": evaluation.seconds,
            "arch": arch.to_dict(),
        }
        line = json.dumps(record, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + line)
        finally:
            os.close(descriptor)
        self._known[arch.digest] = evaluation.accuracy

    def __len__(self) -> int:
        self._read_on()
        return len(self._known)

    def _read_on(self) -> None:
        """Takes in the whole lines that were appended since the last look."""
        if not self.path.exists():
            return
        with open(self.path, "rb") as file:
            file.seek(self._read)
            lines, end, _ = file.read().rpartition(b"\n")
        self._read += len(lines) + len(end)
        for line in lines.splitlines():
            try:
                record = json.loads(line)
                accuracy = float(record["accuracy"])
            except (ValueError, KeyError, TypeError):
                continue
            if 0 <= accuracy <= 1:
                self._known[str(record.get("digest"))] = accuracy


class Evaluator:
    """Returns the validation accuracy of an Arch's view: norm statistics from calibration images, then one
    pass.

    `images` (N, C, H, W) and `labels` (N,) are the validation split, `calibration` (M, C, H, W) training
    images as the network sees them. With a `cache` folder nothing is evaluated twice: the file's name holds
    the supernet's digest and that of the images and settings, so another supernet or another split never
    shares it.
    """

    def __init__(
        self,
        supernet: Supernet,
        images: Tensor,
        labels: Tensor,
        calibration: Tensor,
        *,
        batch_size: int = 512,
        cache: Path | None = None,
    ) -> None:
        if len(images) == 0 or len(images) != len(labels):
            raise InvalidInput(
                f"{len(images)} validation images and {len(labels)} labels: give as many, at least 1"
            )
        self._supernet, self._batch_size = supernet, batch_size
        self._images, self._labels, self._calibration = images, labels, calibration
        self.digest = f"{supernet.digest}-{settings_digest(images, labels, calibration, batch_size)}"
        self.cache = AccuracyCache(cache / f"{self.digest}.jsonl") if cache else None

    def __call__(self, arch: Arch) -> Evaluation:
        """Returns the Evaluation of `arch`.

        Raises:
            InvalidInput: the subnet returns NaN or infinity.
        """
        known = self.cache.get(arch) if self.cache else None
        if known is not None:
            return Evaluation(known, 0.0, cached=True)
        start = time.perf_counter()
        with torch.no_grad():
            view = calibrate(self._supernet.subnet(arch), self._calibration, self._batch_size)
            accuracy = evaluate(view, self._images, self._labels, self._batch_size)
        evaluation = Evaluation(accuracy, time.perf_counter() - start)
        if self.cache:
            self.cache.put(arch, evaluation)
        return evaluation


def settings_digest(*parts: Any) -> str:
    """Returns 16 hex digits of tensors (contents, shape and dtype) and plain values."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]
