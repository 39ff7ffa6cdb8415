"""StartRecord: where the weights that a training begins with come from, and which of them were used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from ofa.fill import fill_
from ofa.identity import digest_of_tensors


@dataclass(frozen=True)
class StartRecord:
    """What a start did.

    Attributes:
        source: where the weights come from: a path, or a name in a hub.
        digest: 16 hex digits of all tensors of the source: their names, shapes and values.
        filled: how many of the model's tensors were set.
        missing: the model's names that were left as they were, since they match `ignore`.
        ignored: the source's names that were not used, since they match `ignore`.
    """

    source: str
    digest: str
    filled: int
    missing: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    def __str__(self) -> str:
        """One line: "resnet.pt (60 tensors, 1234567890abcdef; head.weight, head.bias stay as they are built)"."""
        unfilled = f"; {', '.join(self.missing[:3])}{', ...' if len(self.missing) > 3 else ''} as built" * bool(
            self.missing
        )
        return f"{self.source} ({self.filled} tensors, {self.digest}{unfilled})"


def filled_from(
    model: nn.Module, tensors: Mapping[str, Tensor], source: str, ignore: Sequence[str] = ()
) -> StartRecord:
    """Returns the record of a start, after filling `model` in place with weights by name.

    Args:
        model: see `ofa.fill.fill_`, also for `ignore`.
        tensors: of the source, all of them.
        source: where they come from.

    Raises:
        InvalidInput: what does not fit, by name; the model is untouched then.
    """
    filled = fill_(model, tensors, source, ignore)
    return StartRecord(source, digest_of_tensors(tensors), filled.filled, filled.missing, filled.ignored)
