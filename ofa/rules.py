"""SpaceRules: which widths, depths and kernel sizes a user wants, and the Space that follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from math import isfinite, lcm
from typing import TypeVar

from torch import nn

from ofa.blocks import Stage
from ofa.coupling import Group
from ofa.errors import InvalidInput, nearest
from ofa.space import ALWAYS, Choice, Conditions, Space

T = TypeVar("T")


@dataclass(frozen=True)
class SpaceRules:
    """What may vary. Patterns are globs over names of choices, such as "stages.2.*"; the last that matches wins.

    width_ratios: fractions of the full width; each is rounded to `multiple_of` channels (full width is always one).
        None: every multiple of `multiple_of`.
    min_depth: fewest blocks of a stage. fix: widths and depths that stay full.
    kernel_sizes: for convolutions with odd kernels and same padding, smaller odd sizes (the centre is kept).
    width_ratios_for, multiple_of_for, min_depth_for: the same by pattern.
    """

    width_ratios: Sequence[float] | None = (0.25, 0.5, 0.75, 1.0)
    multiple_of: int = 8
    min_depth: int = 1
    fix: Sequence[str] = ()
    kernel_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    width_ratios_for: Mapping[str, Sequence[float] | None] = field(default_factory=dict)
    multiple_of_for: Mapping[str, int] = field(default_factory=dict)
    min_depth_for: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, ratios in [("width_ratios", self.width_ratios), *self.width_ratios_for.items()]:
            if ratios is None:
                continue
            if isinstance(ratios, str) or not ratios or not all(_is_fraction(ratio) for ratio in ratios):
                raise InvalidInput(f"{name}={ratios!r}: give fractions of the full width, each over 0 and at most 1")
        for name, least in [("multiple_of", self.multiple_of), *self.multiple_of_for.items()]:
            if not _is_whole(least) or least < 1:
                raise InvalidInput(f"{name}={least!r}: give a whole number of channels, 1 or more")
        for name, least in [("min_depth", self.min_depth), *self.min_depth_for.items()]:
            if not _is_whole(least) or least < 0:
                raise InvalidInput(f"{name}={least!r}: give a whole number of blocks, 0 or more")
        for name, sizes in self.kernel_sizes.items():
            if not sizes or not all(_is_whole(size) and size > 0 and size % 2 for size in sizes):
                raise InvalidInput(f"kernel_sizes[{name!r}]={sizes!r}: give odd sizes in pixels, such as [3, 5]")


def _is_fraction(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value) and 0 < value <= 1


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def width_values(group: Group, rules: SpaceRules) -> tuple[int, ...]:
    """Returns the widths a group can take, in channels of the layer that names it, ascending."""
    if _matches(group.name, rules.fix):
        return (group.channels,)
    ratios = _last(group.name, rules.width_ratios_for, rules.width_ratios)
    step = _last(group.name, rules.multiple_of_for, rules.multiple_of)
    widths = {group.channels}
    if ratios is None:
        each = lcm(step, group.channels_per_unit)
        return tuple(sorted({*range(each, group.channels, each), group.channels}))
    for ratio in ratios:
        channels = max(step, round(ratio * group.channels / step) * step)
        if channels < group.channels and channels % group.channels_per_unit == 0:
            widths.add(channels)
    return tuple(sorted(widths))


def depth_values(stage: Stage, rules: SpaceRules) -> tuple[int, ...]:
    """Returns how many blocks a stage can have, ascending."""
    if _matches(stage.name, rules.fix):
        return (len(stage.blocks),)
    least = _last(stage.name, rules.min_depth_for, rules.min_depth)
    return tuple(depth for depth in stage.depths if depth >= min(least, len(stage.blocks)))


def kernel_values(path: str, conv: nn.Module, rules: SpaceRules) -> tuple[int, ...]:
    """Returns the kernel sizes a convolution can take, ascending: its own alone unless a rule names it."""
    own = getattr(conv, "kernel_size", ())
    if not own or len(set(own)) != 1:
        return ()
    sizes = _last(path, rules.kernel_sizes, ())
    return tuple(sorted({*(size for size in sizes if size < own[0]), own[0]}))


def build_space(
    groups: Sequence[Group],
    stages: Sequence[Stage],
    kernels: Mapping[str, nn.Module],
    active_when: Mapping[str, Conditions],
    rules: SpaceRules,
) -> Space:
    """Returns the Space of a supernet: only what has more than one value is a choice.

    `kernels` are the convolutions that can be cropped; `active_when` says for each choice's key when it counts.

    Raises:
        InvalidInput: a pattern that matches nothing.
    """
    patterns = (*rules.fix, *rules.width_ratios_for, *rules.multiple_of_for, *rules.min_depth_for)
    _check_patterns(patterns, [*(group.name for group in groups), *(stage.name for stage in stages)])
    _check_patterns(rules.kernel_sizes, kernels)
    drafts = [("depth", stage.name, depth_values(stage, rules)) for stage in stages]
    drafts += [("width", group.name, width_values(group, rules)) for group in groups]
    drafts += [("kernel_size", path, kernel_values(path, conv, rules)) for path, conv in kernels.items()]
    chosen = {f"{kind}.{name}" for kind, name, values in drafts if len(values) > 1}
    choices = []
    for kind, name, values in drafts:
        if len(values) > 1:
            conditions = active_when.get(f"{kind}.{name}", ALWAYS)
            kept = tuple(tuple((key, least) for key, least in every if key in chosen) for every in conditions)
            choices.append(Choice(kind, name, values, ALWAYS if () in kept else kept))
    return Space(tuple(choices))


def _check_patterns(patterns: Iterable[str], names: Iterable[str]) -> None:
    known = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InvalidInput(f"the pattern {pattern!r} matches no layer that can vary; {nearest(pattern, known)}")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _last(name: str, by_pattern: Mapping[str, T], otherwise: T) -> T:
    found = [value for pattern, value in by_pattern.items() if fnmatchcase(name, pattern)]
    return found[-1] if found else otherwise
