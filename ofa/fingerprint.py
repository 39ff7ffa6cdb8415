"""What two supernets must have in common to give the same subnets: weights by name, choices, and what is coupled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ofa.checkpoint import weights

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SHOWN = 3  # differences that a message names


@dataclass(frozen=True)
class Fingerprint:
    """A supernet without the numbers in it.

    Attributes:
        weights: type and shape of every parameter and buffer, by name, such as "float32 (16, 3, 3, 3)".
        choices: the values of each choice of the space, by key.
        layers: a digest of what is coupled in each width, and of the blocks of each stage, by key.
    """

    weights: Mapping[str, str]
    choices: Mapping[str, tuple[int, ...]]
    layers: Mapping[str, str]


def fingerprint_of(supernet: Supernet) -> Fingerprint:
    """Returns the fingerprint of a supernet."""
    choices = {choice.key: choice.values for choice in supernet.space.choices}
    return Fingerprint(weight_texts(weights(supernet.model)), choices, _layers(supernet))


def weight_texts(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Returns type and shape of each tensor in words."""
    texts = {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in tensors.items()}
    return {name: text.removeprefix("torch.") for name, text in texts.items()}


def differences(first: Fingerprint, second: Fingerprint, names: tuple[str, str]) -> list[str]:
    """Returns what differs, in words; `names` are what the two are called there, such as "the folder"."""
    return [
        *weight_differences(first.weights, second.weights, names),
        *_values(first.choices, second.choices, names, "no choice"),
        *(
            f"{key} is connected in another way"
            for key in dict.fromkeys([*first.layers, *second.layers])
            if first.layers.get(key) != second.layers.get(key)
        ),
    ]


def weight_differences(first: Mapping[str, str], second: Mapping[str, str], names: tuple[str, str]) -> list[str]:
    """Returns what differs between the weights of two networks, in words."""
    return list(_values(first, second, names, "missing"))


def shortened(said: Sequence[str]) -> str:
    """Returns the first differences in one line, and how many more there are."""
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return "; ".join(said[:SHOWN]) + more


def _values(
    first: Mapping[str, object], second: Mapping[str, object], names: tuple[str, str], absent: str
) -> Iterator[str]:
    for key in dict.fromkeys([*second, *first]):
        if first.get(key) != second.get(key):
            yield f"{key} is {first.get(key, absent)} in {names[0]} and {second.get(key, absent)} in {names[1]}"


def _layers(supernet: Supernet) -> dict[str, str]:
    """What cannot be seen in a Space: which weights shrink together, and which blocks are a stage."""
    layers = {}
    for group in supernet.structure.groups:
        total = hashlib.sha256(repr((group.units, group.channels_per_unit, group.renormalized)).encode())
        for member in group.members:
            total.update(repr((member.source, member.dim, member.index.shape)).encode())
            total.update(member.index.astype("<i8").tobytes())
        layers[f"width.{group.name}"] = total.hexdigest()[:16]
    for stage in supernet.structure.stages:
        layers[f"depth.{stage.name}"] = hashlib.sha256(repr((stage.blocks, stage.leaving)).encode()).hexdigest()[:16]
    return layers
