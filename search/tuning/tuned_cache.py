"""TunedCache: outcomes of fine-tuning on disk, so that no search makes a finished one twice."""

from __future__ import annotations

from pathlib import Path

from search.evaluation import Evaluation
from search.json_lines import JsonLines


class TunedCache:
    """Evaluations by a digest of all that decides them, in a file that several processes may append to."""

    def __init__(self, path: Path) -> None:
        self._file = JsonLines(path)
        self._known: dict[str, Evaluation] = {}

    def get(self, digest: str) -> Evaluation | None:
        """Returns what is known, None where nobody has written it yet."""
        if digest not in self._known:
            for record in self._file.fresh():
                try:
                    self._known[str(record["digest"])] = Evaluation(
                        accuracy=float(record["accuracy"]),
                        seconds=0.0,
                        cached=True,
                        figures={str(name): float(value) for name, value in record["figures"].items()},
                        history=tuple(record["history"]),
                    )
                except (ValueError, KeyError, TypeError, AttributeError):
                    continue
        return self._known.get(digest)

    def put(self, digest: str, evaluation: Evaluation) -> None:
        """Appends an evaluation that was made to its end."""
        told = {"accuracy": evaluation.accuracy, "seconds": evaluation.seconds, "figures": dict(evaluation.figures)}
        self._file.append({"digest": digest, **told, "history": [dict(row) for row in evaluation.history]})
