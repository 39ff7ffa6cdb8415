"""Data sets for networks of several inputs: token ids with their masks, an image with a text."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Preprocessing, Split
from ofa.data.identity import identities_of
from ofa.data.input_table import InputTable
from ofa.data.splitting import stratified
from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs, as_inputs


@dataclass(frozen=True, eq=False)
class _Part:
    inputs: Inputs
    labels: Tensor

    def rows(self, rows: Tensor) -> _Part:
        return _Part(InputTable(self.inputs).take(rows), self.labels[rows])


def from_inputs(
    inputs: Example,
    labels: Tensor,
    *,
    validation: float | tuple[Example, Tensor] = 0.2,
    test: float | tuple[Example, Tensor] = 0.2,
    seed: int = 0,
    name: str = "inputs",
    num_classes: int | None = None,
) -> Dataset:
    """Returns the Dataset of inputs of any form, as a network is called with them, and labels (N,).

    Args:
        inputs: a tuple of positional or a dictionary of keyword arguments, or `ofa.Inputs`; networks see the tensors as
            they are. The first tensor has N rows, and so has each tensor with one row for each example.
        labels: whole numbers from 0.
        validation, test: the fraction of the examples that each takes, every class alike, as a function of `seed`; or
            a pair (inputs, labels) of its own. What is left is trained on.
        name: of the data set, in cards and reports.
        num_classes: how many; as many as labels show where None.

    Raises:
        InvalidInput: labels that do not fit, or fractions that leave nothing to train on.
    """
    given: dict[str, _Part] = {"train": _checked(inputs, labels)}
    held_out = {"validation": validation, "test": test}
    given |= {part: _checked(*pair) for part, pair in held_out.items() if isinstance(pair, tuple) and len(pair) == 2}
    cut = {part: share for part, share in held_out.items() if isinstance(share, float)}
    if cut:
        whole = given["train"]
        given |= {part: whole.rows(rows) for part, rows in stratified(whole.labels, cut, seed=seed).items()}
    if missing := {"validation", "test"} - given.keys():
        raise InvalidInput(f"{min(missing)} must be a fraction, such as 0.2, or a pair (inputs, labels)")
    kinds = "inputs as the network takes them: " + ", ".join(given["train"].inputs.tensors())
    preprocessing = Preprocessing(1.0, (), (), stored=kinds)
    splits = {
        part: Split(
            InputTable(each.inputs), each.labels, preprocessing, known_identities=_identities(each), origin="tensors"
        )
        for part, each in given.items()
    }
    classes = num_classes or 1 + max(int(each.labels.max()) for each in given.values() if len(each.labels))
    return Dataset(name, splits["train"], splits["validation"], splits["test"], classes)


def _checked(inputs: Example, labels: Tensor) -> _Part:
    held = as_inputs(inputs).to("cpu")
    if not isinstance(labels, Tensor) or labels.dim() != 1 or labels.is_floating_point() or len(labels) != held.batch:
        form = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise InvalidInput(f"labels of {form} for {held.batch} examples: give one whole number each, ({held.batch},)")
    return _Part(held, labels.long())


def _identities(part: _Part) -> Tensor:
    """The identity of each example, from the bytes of all its tensors."""
    tensors = [tensor for tensor in part.inputs.tensors().values() if part.inputs.is_batched(tensor)]
    return identities_of(torch.stack([identities_of(tensor) for tensor in tensors], dim=1))
