"""Passing: what a block hands on when it is left out, in the form in which it returns what it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ofa.structure.containers import Way, at, leaves, replaced

FIRST: Way = (0, 0)
_PLAIN = (bool, int, float, str, type(None))


class FromInput:
    """Stands for the part of a call's (args, kwargs) that a way leads to."""

    def __init__(self, way: Way) -> None:
        self.way = way


@dataclass(frozen=True)
class Passing:
    """What a block returns when it is left out: its output, with parts of its arguments in the place of tensors.

    Attributes:
        output: the containers of the block's output around `FromInput`, numbers, and None for what only the block
            itself can compute, such as an attention map.
        is_identity: the block gets one argument and returns one thing.
    """

    output: Any
    is_identity: bool


@dataclass(frozen=True)
class LeftOut:
    """How a block is left out: what it hands on, and whether it leaves the list that holds it."""

    passing: Passing
    leaves_list: bool


def block_passing(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any, reaches: Callable[[Tensor], Mapping[Way, bool]]
) -> tuple[Passing | None, str]:
    """Returns what stands for a module that was called, if it can be left out; otherwise None, and why.

    A module can be left out when it returns a sum of an argument and something else, in the argument's shape.

    Args:
        args: what it was called with, by position.
        kwargs: by keyword.
        output: what it returned.
        reaches: the ways to the arguments that reach a tensor, and whether something was added on the way.
    """
    arguments = list(leaves((args, dict(kwargs))))
    by_way = {way: value for way, value in arguments if isinstance(value, Tensor)}
    by_identity = {id(value): way for way, value in reversed(arguments) if not isinstance(value, _PLAIN)}
    numbers = [(way, value) for way, value in arguments if isinstance(value, (int, float))]
    sums: dict[int, Way] = {}
    fitting: list[Tensor] = []
    for _, value in leaves(output):
        if isinstance(value, Tensor):
            like = [way for way, other in by_way.items() if (other.shape, other.dtype) == (value.shape, value.dtype)]
            added = [way for way in like if reaches(value).get(way, False)]
            fitting += [value] if like else []
            if added:
                sums[id(value)] = added[0]
    if not sums:
        return None, _why_not(list(by_way.values()), output, bool(fitting))

    def stand_in(value: Any) -> Any:
        way = sums.get(id(value), by_identity.get(id(value)))
        if way is not None:
            return FromInput(way)
        if not isinstance(value, _PLAIN):
            return None
        same = [way for way, other in numbers if type(other) is type(value) and other == value]
        return FromInput(same[0]) if same else value

    result = replaced(output, stand_in)
    alone = isinstance(result, FromInput) and result.way == FIRST and len(args) == 1 and not kwargs
    return Passing(result, alone), ""


def _why_not(arguments: Sequence[Tensor], output: Any, fits: bool) -> str:
    if not arguments:
        return "gets no tensor"
    if fits:
        return "returns no sum of an argument and something else"
    shapes = [str(tuple(value.shape)) for _, value in leaves(output) if isinstance(value, Tensor)]
    given = " and ".join(str(tuple(value.shape)) for value in arguments)
    return f"turns {given} into {' and '.join(shapes) or 'no tensor'}"


def hand_on(passing: Passing, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Returns what a block that is left out returns for these arguments."""

    def fill(value: Any) -> Any:
        return at((args, kwargs), value.way) if isinstance(value, FromInput) else value

    return replaced(passing.output, fill)


def handed_on(
    passing: Passing, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
) -> list[tuple[Tensor, Tensor]]:
    """Returns pairs of tensors: what is handed on when the block is left out, and what its output holds there."""
    instead = dict(leaves(hand_on(passing, args, kwargs)))
    pairs = [(instead.get(way), value) for way, value in leaves(output)]
    return [(given, made) for given, made in pairs if isinstance(given, Tensor) and isinstance(made, Tensor)]


class PassThrough(nn.Module):
    """Stands where a block was left out; its output has the form of the block's."""

    def __init__(self, passing: Passing) -> None:
        super().__init__()
        self.passing = passing

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns parts of its arguments."""
        return hand_on(self.passing, args, kwargs)


def pass_through(block: nn.Module, passing: Passing) -> nn.Module:
    """Returns the module that stands for a block, with its plain attributes, which the network around may read."""
    module = nn.Identity() if passing.is_identity else PassThrough(passing)
    plain = {name: value for name, value in vars(block).items() if isinstance(value, _PLAIN) and name[0] != "_"}
    vars(module).update(plain)
    return module


@contextmanager
def skipped(model: nn.Module, dropped: Mapping[str, LeftOut]) -> Iterator[None]:
    """Makes blocks of a private copy, by path, hand on what they get; their lists stay as they are."""
    blocks: list[Any] = [model.get_submodule(path) for path in dropped]
    for block, left_out in zip(blocks, dropped.values(), strict=True):
        block.forward = PassThrough(left_out.passing).forward
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
