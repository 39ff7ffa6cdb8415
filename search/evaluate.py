"""Evaluator: the accuracy of a subnet as it stands in the supernet, kept on disk for every later search."""

from __future__ import annotations

import hashlib
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
from search.accuracy_cache import AccuracyCache
from search.evaluation import Evaluation


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
            raise InvalidInput(f"{len(images)} validation images and {len(labels)} labels: give as many, at least 1")
        self._supernet, self._batch_size = supernet, batch_size
        self._images, self._labels, self._calibration = images, labels, calibration
        self.digest = f"{supernet.digest}-{settings_digest(images, labels, calibration, batch_size)}"
        self.cache = AccuracyCache(cache / f"{self.digest}.jsonl") if cache is not None else None

    def __call__(self, arch: Arch) -> Evaluation:
        """Returns the Evaluation of `arch`.

        Raises:
            InvalidInput: the subnet returns NaN or infinity.
        """
        known = self.cache.get(arch) if self.cache is not None else None
        if known is not None:
            return Evaluation(known, 0.0, cached=True)
        start = time.perf_counter()
        with torch.no_grad():
            view = calibrate(self._supernet.subnet(arch), self._calibration, self._batch_size)
            accuracy = evaluate(view, self._images, self._labels, self._batch_size)
        evaluation = Evaluation(accuracy, time.perf_counter() - start)
        if self.cache is not None:
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
