"""Blocks that can be left out: shape-preserving residual modules, gathered into stages."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from torch import nn

from ofa.trace import Trace


@dataclass(frozen=True)
class Stage:
    """Consecutive blocks of one container. The first `always` stay; the rest can go, last first."""

    name: str
    blocks: tuple[str, ...]
    always: int

    @property
    def depths(self) -> range:
        """How many blocks the stage can have."""
        return range(self.always, len(self.blocks) + 1)

    def dropped(self, depth: int) -> tuple[str, ...]:
        """The blocks that a depth leaves out."""
        return self.blocks[depth:]


def find_stages(model: nn.Module, trace: Trace) -> tuple[Stage, ...]:
    """Returns the stages of a model, in order of use.

    A block is a module that ran once, from one tensor to one of the same shape, as a sum of its input and
    something else. Of nested ones the innermost count, so that a stage of blocks is not itself a block. A stage
    starts with the block before the first that can go, where that one is of the same class.
    """
    times = Counter(call.module for call in trace.calls)
    residual = {call.module for call in trace.calls if call.residual and times[call.module] == 1 and call.module}
    blocks = {path for path in residual if not any(other.startswith(path + ".") for other in residual)}
    modules = dict(model.named_modules())
    called = [call.module for call in trace.calls if times[call.module] == 1]
    siblings: dict[str, list[str]] = {}
    for path in called:
        siblings.setdefault(_parent(path), []).append(path)
    stages = []
    for parent, children in siblings.items():
        run: list[str] = []
        for path in [*children, ""]:
            if path in blocks:
                run.append(path)
                continue
            stages += _stage(parent, run, modules, blocks)
            run = [path]
    position = {path: i for i, path in enumerate(called)}
    stages.sort(key=lambda stage: position[stage.blocks[0]])
    names = Counter(stage.name for stage in stages)
    return tuple(
        stage if names[stage.name] == 1 else Stage(stage.blocks[0], stage.blocks, stage.always) for stage in stages
    )


def _stage(parent: str, run: list[str], modules: dict[str, nn.Module], blocks: set[str]) -> list[Stage]:
    can_go = [path for path in run if path in blocks]
    if not can_go:
        return []
    head = [path for path in run if path not in blocks and type(modules[path]) is type(modules[can_go[0]])]
    is_list = isinstance(modules[parent], (nn.Sequential, nn.ModuleList))
    members = (*head, *can_go)
    return [Stage(parent if is_list and parent else members[0], members, len(head))]


def _parent(path: str) -> str:
    return path.rpartition(".")[0]
