"""AccuracyCache: accuracies on disk, so that a second search costs nothing for what is known."""

from __future__ import annotations

from pathlib import Path

from ofa.arch import Arch
from search.evaluation import Evaluation
from search.json_lines import JsonLines


class AccuracyCache:
    """Accuracies by Arch in a file that several processes may append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = JsonLines(path)
        self._known: dict[str, float] = {}

    def get(self, arch: Arch) -> float | None:
        """Returns the accuracy of `arch`, or None where nobody has written it yet."""
        if arch.digest not in self._known:
            self._read_on()
        return self._known.get(arch.digest)

    def put(self, arch: Arch, evaluation: Evaluation) -> None:
        """Appends the accuracy of `arch`."""
        told = {"accuracy": evaluation.accuracy, "seconds": evaluation.seconds}
        self._file.append({"digest": arch.digest, **told, "arch": arch.to_dict()})
        self._known[arch.digest] = evaluation.accuracy

    def __len__(self) -> int:
        self._read_on()
        return len(self._known)

    def _read_on(self) -> None:
        """Takes in what was appended since the last look."""
        for record in self._file.fresh():
            try:
                accuracy = float(record["accuracy"])
            except (ValueError, KeyError, TypeError):
                continue
            if 0 <= accuracy <= 1:
                self._known[str(record.get("digest"))] = accuracy
