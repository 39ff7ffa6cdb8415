"""SpaceRules: which widths, depths and kernel sizes a user wants, and the Space that follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from math import lcm
from typing import TypeVar

from torch import nn

from ofa.choice import ALWAYS, Choice, Conditions
from ofa.errors import InvalidInput, is_number, is_whole, nearest
from ofa.resolution import NAME as RESOLUTION
from ofa.space import Space
from ofa.structure.blocks import Stage
from ofa.structure.coupling import Group
from ofa.structure.structure import Structure

T = TypeVar("T")
DEPTH_ORDERS = ("last_out_first", "evenly")
_KEEPING = ("keep_first", "keep_last")


@dataclass(frozen=True)
class SpaceRules:
    """What may vary. Patterns are globs over names of choices, such as "stages.2.*"; the last that matches wins.

    width_ratios: fractions of the full width; each is rounded to `multiple_of` channels (full width is always one).
        None: every multiple of `multiple_of`.
    min_depth: fewest blocks of a stage. fix: widths and depths that stay full.
    keep_first, keep_last: how many of a stage's first and last blocks always stay.
    depth_order: which of the others leave first: "last_out_first", or "evenly": every second one, then every second of
        the rest, so that those that stay lie spread over the stage (Fan et al. 2019, 1909.11556); in `depth_order_for`
        also their positions in the stage, the first to leave first, such as [3, 1]: blocks that are not named stay.
    kernel_sizes: for convolutions with odd kernels and same padding, smaller odd sizes (the center is kept).
    kernel_transforms: whether smaller kernels are learned functions of the larger ones' centers, in place of the plain
        centers (Cai et al. 2020). The matrices become parameters of the convolutions.
    resolutions: heights of images in pixels, below that of the example input, which is always one; the width is in
        proportion. For models of one image whose output has the same shape at each.
    width_ratios_for, multiple_of_for, min_depth_for, keep_first_for, keep_last_for, depth_order_for: the same by
        pattern.
    """

    width_ratios: Sequence[float] | None = (0.25, 0.5, 0.75, 1.0)
    multiple_of: int = 8
    min_depth: int = 1
    fix: Sequence[str] = ()
    kernel_sizes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    width_ratios_for: Mapping[str, Sequence[float] | None] = field(default_factory=dict)
    multiple_of_for: Mapping[str, int] = field(default_factory=dict)
    min_depth_for: Mapping[str, int] = field(default_factory=dict)
    kernel_transforms: bool = False
    keep_first: int = 0
    keep_last: int = 0
    depth_order: str = "last_out_first"
    keep_first_for: Mapping[str, int] = field(default_factory=dict)
    keep_last_for: Mapping[str, int] = field(default_factory=dict)
    depth_order_for: Mapping[str, str | Sequence[int]] = field(default_factory=dict)
    resolutions: Sequence[int] = ()

    def __post_init__(self) -> None:
        for name, ratios in [("width_ratios", self.width_ratios), *self.width_ratios_for.items()]:
            if ratios is None:
                continue
            if isinstance(ratios, str) or not ratios or not all(_is_fraction(ratio) for ratio in ratios):
                raise InvalidInput(f"{name}={ratios!r}: give fractions of the full width, each over 0 and at most 1")
        for name, least in [("multiple_of", self.multiple_of), *self.multiple_of_for.items()]:
            if not is_whole(least) or least < 1:
                raise InvalidInput(f"{name}={least!r}: give a whole number of channels, 1 or more")
        blocks = [(key, getattr(self, key), getattr(self, f"{key}_for")) for key in ("min_depth", *_KEEPING)]
        for name, least in [pair for key, value, by_name in blocks for pair in ((key, value), *by_name.items())]:
            if not is_whole(least, 0):
                raise InvalidInput(f"{name}={least!r}: give a whole number of blocks, 0 or more")
        if not isinstance(self.kernel_transforms, bool):
            raise InvalidInput(f"kernel_transforms={self.kernel_transforms!r}: give true or false")
        if self.kernel_transforms and not self.kernel_sizes:
            raise InvalidInput(
                "kernel_transforms=true needs kernel_sizes: name the convolutions, and sizes such as [3, 5]"
            )
        if isinstance(self.resolutions, str) or not all(is_whole(size) and size > 0 for size in self.resolutions):
            raise InvalidInput(f"resolutions={self.resolutions!r}: give heights in pixels, such as [128, 160, 192]")
        if self.depth_order not in DEPTH_ORDERS:
            raise InvalidInput(_no_order("depth_order", self.depth_order))
        for name, order in self.depth_order_for.items():
            if isinstance(order, str) and order not in DEPTH_ORDERS:
                raise InvalidInput(_no_order(name, order))
        for name, sizes in self.kernel_sizes.items():
            if not sizes or not all(is_whole(size) and size > 0 and size % 2 for size in sizes):
                raise InvalidInput(f"kernel_sizes[{name!r}]={sizes!r}: give odd sizes in pixels, such as [3, 5]")


def _no_order(name: str, order: object) -> str:
    return f"{name}={order!r} is no order in which blocks leave; {nearest(str(order), DEPTH_ORDERS)}"


def _is_fraction(value: object) -> bool:
    return is_number(value) and 0 < value <= 1


def width_values(group: Group, rules: SpaceRules) -> tuple[int, ...]:
    """Returns the widths a group can take, in channels of the layer that names it, ascending."""
    if _matches(group.name, rules.fix):
        return (group.channels,)
    ratios = _last(group.name, rules.width_ratios_for, rules.width_ratios)
    step = _last(group.name, rules.multiple_of_for, rules.multiple_of)
    fewest = group.least * group.channels_per_unit
    widths = {group.channels}
    if ratios is None:
        multiple = lcm(step, group.channels_per_unit)
        multiple = multiple if multiple < group.channels else group.channels_per_unit
        every = {*range(multiple, group.channels, multiple), group.channels}
        return tuple(sorted(channels for channels in every if channels >= fewest))
    step = step if step % group.channels_per_unit == 0 else group.channels_per_unit  # see `misfit`
    for ratio in ratios:
        channels = max(step, round(ratio * group.channels / step) * step)
        if fewest <= channels < group.channels:
            widths.add(channels)
    return tuple(sorted(widths))


def misfit(group: Group, rules: SpaceRules) -> str:
    """Returns what to tell of a group whose units are no part of `multiple_of`; its widths are whole units then."""
    step = _last(group.name, rules.multiple_of_for, rules.multiple_of)
    unit = group.channels_per_unit
    if unit == 1 or step % unit == 0 or unit % step == 0:
        return ""
    return f"in whole units of {unit} channels, which multiple_of={step} does not fit"


def ruled(structure: Structure, rules: SpaceRules) -> Structure:
    """Returns a structure in whose stages only blocks that the rules let go can go, in the order of the rules."""
    return replace(structure, stages=tuple(_ruled_stage(stage, rules) for stage in structure.stages))


def _ruled_stage(stage: Stage, rules: SpaceRules) -> Stage:
    if _matches(stage.name, rules.fix):
        return replace(stage, leaving=())
    total = len(stage.blocks)
    first = _last(stage.name, rules.keep_first_for, rules.keep_first)
    last = _last(stage.name, rules.keep_last_for, rules.keep_last)
    free = [position for position in sorted(stage.leaving) if first <= position < total - last]
    order = _last(stage.name, rules.depth_order_for, rules.depth_order)
    if not isinstance(order, str):
        leaving = _named(stage, order, free)
    else:
        leaving = _evenly(free) if order == "evenly" else free[::-1]
    least = _last(stage.name, rules.min_depth_for, rules.min_depth)
    return replace(stage, leaving=tuple(leaving[: max(0, total - least)]))


def _named(stage: Stage, order: Sequence[int], free: Sequence[int]) -> list[int]:
    """The positions in the order that a rule names."""
    if len(set(order)) != len(order) or not set(order) <= set(free):
        raise InvalidInput(
            f"depth_order_for[{stage.name!r}]={list(order)}: name each block that leaves once, by its position; those "
            f"that can leave are {list(free)}"
        )
    return list(order)


def _evenly(positions: Sequence[int]) -> list[int]:
    """Returns the positions in the order in which they leave: every second, the last first, then so with the rest."""
    leaving: list[int] = []
    while len(positions) > 1:
        leaving += positions[1::2][::-1]
        positions = positions[::2]
    return [*leaving, *positions]


def kernel_values(path: str, conv: nn.Module, rules: SpaceRules) -> tuple[int, ...]:
    """Returns the kernel sizes a convolution can take, ascending: only its own unless a rule names it."""
    full = getattr(conv, "kernel_size", ())
    if not full or len(set(full)) != 1:
        return ()
    sizes = _last(path, rules.kernel_sizes, ())
    return tuple(sorted({*(size for size in sizes if size < full[0]), full[0]}))


def build_space(
    structure: Structure, kernels: Mapping[str, nn.Module], active_when: Mapping[str, Conditions], rules: SpaceRules
) -> Space:
    """Returns the Space of a supernet: only what has more than one value is a choice.

    Args:
        structure: groups of channels, stages of blocks, operators of which one layer is chosen, accepted resolutions.
        kernels: the convolutions that can be cropped, by path.
        active_when: by each choice's key, when it counts.
        rules: what is wanted.

    Raises:
        InvalidInput: a pattern that matches nothing.
    """
    by_pattern = [getattr(rules, name) for name in vars(rules) if name.endswith("_for")]
    patterns = (*rules.fix, *(pattern for values in by_pattern for pattern in values))
    groups, stages, operators = structure.groups, structure.stages, structure.operators
    _check_patterns(patterns, [*(group.name for group in groups), *(stage.name for stage in stages)])
    _check_patterns(rules.kernel_sizes, kernels)
    drafts = [("depth", stage.name, tuple(stage.depths)) for stage in stages]
    drafts += [("operator", operator.path, tuple(range(len(operator.options)))) for operator in operators]
    drafts += [("width", group.name, width_values(group, rules)) for group in groups]
    drafts += [("kernel_size", path, kernel_values(path, conv, rules)) for path, conv in kernels.items()]
    drafts.append(("resolution", RESOLUTION, tuple(structure.resolutions)))
    chosen = {f"{kind}.{name}" for kind, name, values in drafts if len(values) > 1}
    choices = []
    for kind, name, values in drafts:
        if len(values) > 1:
            conditions = active_when.get(f"{kind}.{name}", ALWAYS)
            chosen_conditions = tuple(
                tuple((key, least) for key, least in alternative if key in chosen) for alternative in conditions
            )
            choices.append(Choice(kind, name, values, ALWAYS if () in chosen_conditions else chosen_conditions))
    return Space(tuple(_in_order(choices)))


def _in_order(choices: Sequence[Choice]) -> list[Choice]:
    """The same choices, each after those that it depends on: operators in blocks, and depths in operators."""
    rest, ordered = list(choices), list[Choice]()
    known: set[str] = set()
    while rest:
        ready = [choice for choice in rest if {key for every in choice.active_when for key, _ in every} <= known]
        rest = [choice for choice in rest if choice not in ready]
        ordered += ready
        known |= {choice.key for choice in ready}
    return ordered


def _check_patterns(patterns: Iterable[str], names: Iterable[str]) -> None:
    known = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InvalidInput(f"the pattern {pattern!r} matches no layer that can vary; {nearest(pattern, known)}")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _last(name: str, by_pattern: Mapping[str, T], otherwise: T) -> T:
    values = [value for pattern, value in by_pattern.items() if fnmatchcase(name, pattern)]
    return values[-1] if values else otherwise
