"""Networks judged on what nothing was trained on, and how far one is from another there, example by example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

from torch import nn

from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.task import Replicates, Task, paired_difference, replicates, scores
from search.run.scores import Gain, Scores

PARTS = ("validation", "test")

Judged: TypeAlias = Mapping[str, Replicates]  # by split, "validation" and "test"


def judged(net: nn.Module, data: Dataset, task: Task) -> Judged:
    """Returns what is known of a network on each split that nothing was trained on.

    Raises:
        InvalidInput: outputs or a metric that are not finite numbers, or labels that do not fit the outputs.
    """
    by_split = {}
    for part in PARTS:
        with in_split(part):
            by_split[part] = replicates(net, getattr(data, part).in_order(), task)
    return by_split


def held_out(net: nn.Module, data: Dataset, task: Task) -> Scores:
    """Returns the scores of a network on the validation and test splits."""
    by_split = {}
    for part in PARTS:
        with in_split(part):
            by_split[part] = scores(net, getattr(data, part).in_order(), task)
    return Scores(**by_split)


@contextmanager
def in_split(part: str) -> Iterator[None]:
    """Says which split it was that the block cannot use; loaders say so themselves.

    An exception of another kind, such as a metric's own, has it as a note.
    """
    try:
        yield
    except InvalidInput as error:
        if str(error).startswith(f"{part} "):
            raise
        raise InvalidInput(f"{part} split: {error}") from error
    except Exception as error:
        error.add_note(f"while the {part} split was judged")
        raise


def scores_of(outcome: Judged) -> Scores:
    """Returns its scores, as files hold them."""
    return Scores(**{part: dict(each.scores) for part, each in outcome.items()})


def gain_of(after: Judged, before: Judged) -> Gain:
    """Returns the objective of one network less that of another on the same examples, with paired standard errors."""
    return Gain(**{part: paired_difference(after[part], before[part]) for part in after})
