"""Blocks that can be left out: residual modules, gathered into stages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from ofa.computed_weights import is_inside
from ofa.structure.passing import LeftOut, Passing
from ofa.structure.trace import Call, Trace

_LISTS = (nn.Sequential, nn.ModuleList)


@dataclass(frozen=True)
class Stage:
    """Consecutive blocks of one container, of which some always stay, and the order in which the others leave.

    Attributes:
        name: the container's path, or the first block's.
        blocks: paths, in order of use.
        leaving: positions of the blocks that can go, the first to go first.
        passing: what a block that can go hands on when it is left out, by path.
        shortens: whether a block that goes leaves its list, as if the network had been built with fewer blocks;
            otherwise its place is taken by a module that hands on what it gets.
    """

    name: str
    blocks: tuple[str, ...]
    leaving: tuple[int, ...]
    passing: Mapping[str, Passing] = field(default_factory=dict, repr=False, compare=False)
    shortens: bool = True

    @property
    def always(self) -> int:
        """How many blocks stay at the least depth."""
        return len(self.blocks) - len(self.leaving)

    @property
    def depths(self) -> range:
        """How many blocks the stage can have."""
        return range(self.always, len(self.blocks) + 1)

    def dropped(self, depth: int) -> tuple[str, ...]:
        """The blocks that a depth leaves out."""
        return tuple(self.blocks[position] for position in self.leaving[: len(self.blocks) - depth])

    def left_out(self, depth: int) -> dict[str, LeftOut]:
        """How the blocks that a depth leaves out are left out, by path."""
        return {path: LeftOut(self.passing[path], self.shortens) for path in self.dropped(depth)}

    @property
    def least_depths(self) -> dict[str, int]:
        """The least depth at which a block runs, by the path of each block that can go."""
        total = len(self.blocks)
        return {self.blocks[position]: total - number for number, position in enumerate(self.leaving)}


def find_stages(model: nn.Module, trace: Trace) -> tuple[Stage, ...]:
    """Returns the stages of a model, in order of use.

    A block is a module that ran once and returned a sum of an argument and something else, in the argument's shape.
    A stage holds blocks of one container that ran one after another; it starts with the block before the first that
    can go, where that one is of the same class. Where blocks lie within others, lists of several blocks of one
    class count first, then other rows of one class, then single blocks; among these, the innermost.
    """
    modules = dict(model.named_modules())
    called = _called_once(trace)
    passing = _passing(trace)
    chosen: list[Stage] = []
    while candidates := _candidates(called, modules, passing, [path for stage in chosen for path in stage.blocks]):
        least = min(rank for rank, _ in candidates)
        of_rank = [stage for rank, stage in candidates if rank == least]
        innermost = [stage for stage in of_rank if not any(_lies_in(other, stage) for other in of_rank)]
        chosen += innermost
        taken = [path for stage in innermost for path in stage.blocks]
        passing = {path: value for path, value in passing.items() if not _meets(path, taken)}
    order = {path: number for number, path in enumerate(called)}
    chosen.sort(key=lambda stage: order[stage.blocks[0]])
    names = Counter(stage.name for stage in chosen)
    return tuple(stage if names[stage.name] == 1 else replace(stage, name=stage.blocks[0]) for stage in chosen)


def _candidates(
    called: Sequence[str], modules: Mapping[str, nn.Module], passing: Mapping[str, Passing], taken: Sequence[str]
) -> list[tuple[int, Stage]]:
    """Returns the stages that these blocks make, each with its rank: lower counts first."""
    ranked: list[tuple[int, Stage]] = []
    for parent, children in _siblings(called).items():
        run: list[str] = []
        for path in [*children, ""]:
            if path in passing:
                run.append(path)
                continue
            ranked += _stage(parent, run, modules, passing)
            run = [path] if not _meets(path, taken) else []
    return ranked


def _passing(trace: Trace) -> dict[str, Passing]:
    times = Counter(call.module for call in trace.calls)
    return {
        call.module: call.passing
        for call in trace.calls
        if call.passing is not None and times[call.module] == 1 and call.module
    }


def _called_once(trace: Trace) -> list[str]:
    times = Counter(call.module for call in trace.calls)
    return [call.module for call in trace.calls if times[call.module] == 1]


def _siblings(paths: Sequence[str]) -> dict[str, list[str]]:
    siblings: dict[str, list[str]] = {}
    for path in paths:
        siblings.setdefault(_parent(path), []).append(path)
    return siblings


def _stage(
    parent: str, run: Sequence[str], modules: Mapping[str, nn.Module], passing: Mapping[str, Passing]
) -> Iterator[tuple[int, Stage]]:
    """Yields the stage of a run of siblings, if any can go, with its rank: lower comes first."""
    can_go = [path for path in run if path in passing]
    if not can_go:
        return
    head = [path for path in run if path not in passing and type(modules[path]) is type(modules[can_go[0]])]
    members = (*head, *can_go)
    in_list = isinstance(modules[parent], (*_LISTS, nn.ModuleDict))
    of_one_class = max(Counter(type(modules[path]) for path in members).values()) > 1
    rank = (0 if in_list else 1) if of_one_class else 2
    leaving = tuple(range(len(members) - 1, len(head) - 1, -1))
    name = parent if in_list and parent else members[0]
    yield (
        rank,
        Stage(name, members, leaving, {path: passing[path] for path in can_go}, isinstance(modules[parent], _LISTS)),
    )


def _lies_in(stage: Stage, other: Stage) -> bool:
    return any(path.startswith(block + ".") for block in other.blocks for path in stage.blocks)


def _meets(path: str, others: Sequence[str]) -> bool:
    """Whether a module is one of others, or lies in one, or holds one."""
    return any(f"{path}.".startswith(f"{other}.") or other.startswith(f"{path}.") for other in others)


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def why_no_stage(model: nn.Module, trace: Trace, stages: Sequence[Stage]) -> dict[str, str]:
    """Returns the reason by path for each row of several blocks of one class of which none can be left out.

    Blocks are modules of the user's own classes, or any that hold others; what lies within a stage is left aside.
    """
    calls: dict[str, list[Call]] = {}
    for call in trace.calls:
        calls.setdefault(call.module, []).append(call)
    in_stages = {path for stage in stages for path in stage.blocks}
    reasons: dict[str, str] = {}
    for path, module in model.named_modules():
        rows: dict[type[nn.Module], list[str]] = {}
        for name, child in module.named_children():
            if any(True for _ in child.children()) or not type(child).__module__.startswith("torch.nn."):
                rows.setdefault(type(child), []).append(f"{path}.{name}" if path else name)
        if (not isinstance(module, (*_LISTS, nn.ModuleDict)) and path) or is_inside(path):
            continue
        for row in rows.values():
            near = [other for other in in_stages for block in row if f"{other}.".startswith(f"{block}.")]
            within = any(f"{row[0]}.".startswith(f"{other}.") for other in in_stages)
            if len(row) > 1 and not near and not within:
                reasons[path if path and len(rows) == 1 else row[0]] = _reason(row, calls, model)
    return reasons


def _reason(row: Sequence[str], calls: Mapping[str, Sequence[Call]], model: nn.Module) -> str:
    """Says why the blocks stay, by the one that tells most: the last that ran."""
    ran = [path for path in row if path in calls]
    if not ran:
        kind = type(model.get_submodule(row[0]))
        if kind in (*_LISTS, nn.ModuleDict):
            return f"{row[0]} is a {kind.__name__}: what is added around its modules is not in a module of its own"
        return f"{row[0]} is never called as a module in eval mode"
    last = calls[ran[-1]]
    if len(last) > 1:
        return f"{ran[-1]} runs {len(last)} times, at {last[-1].line}"
    if last[0].passing is not None:
        return f"{ran[-1]} runs once, {ran[0]} {len(calls[ran[0]])} times"
    return f"{ran[-1]} {last[0].why_not}, at {last[0].line}"
