"""What a batch that something fails on has to do with it: later batches are not tried before they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from ofa.errors import InvalidInput
from ofa.inputs import Inputs
from ofa.task.batch import Batch
from ofa.task.forms import form

# What torch and a network raise where a batch does not fit them.
BATCH_ERRORS = (AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def failed_batch(error: Exception, batch: Batch, before: Mapping[str, str] | None, where: str) -> InvalidInput | None:
    """Returns what is wrong with a batch that a network, a loss or a metric failed on; None where nothing is seen.

    Args:
        error: of the network, the loss or the metric.
        batch: that it failed on.
        before: the forms of one that went well (see `forms`), if any.
        where: of the batch, for the message.
    """
    if isinstance(error, InvalidInput | torch.OutOfMemoryError):
        return None
    reason = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"[:200]
    for name, value in forms(batch).items():
        if before is not None and before[name] != value:
            return InvalidInput(
                f"the {name} of {where} are {value}, and were {before[name]} before ({reason}); give a collate that "
                "makes batches of one form"
            )
    targets = batch.targets
    if isinstance(error, IndexError) and isinstance(targets, Tensor) and targets.numel() and not targets.is_complex():
        least, most = targets.min().item(), targets.max().item()
        return InvalidInput(
            f"the targets of {where} run from {least} to {most} ({reason}); number classes from 0, and give the model "
            "num_classes of one more than the highest"
        )
    return None


@contextmanager
def named_batch(batch: Batch, before: Callable[[], Mapping[str, str] | None], where: str) -> Iterator[None]:
    """Says which batch it was where the block fails on one.

    Args:
        batch: that the block works on.
        before: called where it fails: the forms of a batch that went well, None where there is none.
        where: of the batch, for the message.

    Raises:
        InvalidInput: what is wrong with the batch, see `failed_batch`. Another exception has its place as a note.
    """
    try:
        yield
    except Exception as error:
        refusal = failed_batch(error, batch, before(), where) if isinstance(error, BATCH_ERRORS) else None
        if refusal is None:
            if not isinstance(error, InvalidInput):
                error.add_note(f"at {where}")
            raise
        raise refusal from error


def has_bad_numbers(batch: Batch) -> bool:
    """Whether NaN or infinity is among the inputs."""
    given = batch.inputs.tensors() if isinstance(batch.inputs, Inputs) else batch.inputs
    leaves = [leaf for leaf in tree_flatten(given)[0] if isinstance(leaf, Tensor) and leaf.is_floating_point()]
    return not all(bool(torch.isfinite(leaf).all()) for leaf in leaves)


def forms(batch: Batch) -> dict[str, str]:
    """Returns the forms of "inputs" and of "targets" in words, but for the number of examples, which may change."""
    given = batch.inputs
    inputs = given.tensors() if isinstance(given, Inputs) else given
    return {"inputs": _form(inputs), "targets": _form(batch.targets)}


def _form(value: Any) -> str:
    if isinstance(value, list):  # of an entry for each example, or of several targets
        return f"a list of {' and '.join(sorted(set(map(_form, value)))) or 'nothing'}"
    leaves, structure = tree_flatten(value)
    keys = f" {', '.join(map(str, value))}" if isinstance(value, dict) else ""
    kind = "" if structure.is_leaf() else f"a {type(value).__name__}{keys} of "
    return kind + (", ".join(_leaf_form(leaf) for leaf in leaves) or "nothing")


def _leaf_form(leaf: Any) -> str:
    if not isinstance(leaf, Tensor) or not leaf.dim():
        return form(leaf)
    return f"({', '.join(['N', *map(str, leaf.shape[1:])])}) {leaf.dtype}"
