"""AccuracyCache: accuracies on disk, so that a second search costs nothing for what is known."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ofa.arch import Arch
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
