"""Which blocks of the proposed stages can go, and how: tried at full width, before anything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from ofa.modes import in_mode, op_by_op
from ofa.structure.blocks import Stage
from ofa.structure.passing import skipped
from ofa.structure.tracer import error_line
from ofa.trial.trial import Trial
from ofa.views.view import build, cloned, differentiable


def settle_stages(trial: Trial) -> tuple[tuple[Stage, ...], dict[str, str]]:
    """Returns the stages as they can vary, and why each of the others cannot, by name.

    Where a stage does not work as proposed, its blocks stay in their list and hand on what they get, or its first or
    its last block always stays, as where the first makes what the others use.
    """
    stages = trial.structure.stages
    if _fails(trial, stages) is None:
        return tuple(stages), {}
    settled: list[Stage] = []
    refused: dict[str, str] = {}
    for stage in stages:
        reasons: list[str] = []
        for variant in _variants(stage):
            reason = _fails(trial, [variant])
            if reason is None:
                settled.append(variant)
                break
            reasons.append(reason)
        else:
            refused[stage.name] = reasons[1 if stage.shortens else 0]
    return tuple(settled), refused


def _variants(stage: Stage) -> Iterator[Stage]:
    ways = [stage, replace(stage, shortens=False)] if stage.shortens else [stage]
    yield from ways
    if len(stage.leaving) > 1:
        for position in (min(stage.leaving), max(stage.leaving)):
            leaving = tuple(other for other in stage.leaving if other != position)
            yield from (replace(way, leaving=leaving) for way in ways)


def _fails(trial: Trial, stages: Sequence[Stage]) -> str | None:
    """Returns why these stages do not work without all blocks that can go, or without half of them."""
    tried: set[tuple[str, ...]] = {()}
    for part in (1.0, 0.5):
        shorter = [replace(stage, leaving=stage.leaving[: round(part * len(stage.leaving))]) for stage in stages]
        dropped = tuple(path for stage in shorter for path in stage.dropped(stage.always))
        if dropped not in tried and (reason := _difference_without(trial, shorter)):
            named = ", ".join(dropped[:3]) + (f" and {len(dropped) - 3} more" if len(dropped) > 3 else "")
            return f"without {named}: {reason}"
        tried.add(dropped)
    return None


def _difference_without(trial: Trial, stages: Sequence[Stage]) -> str | None:
    """Returns how the network without blocks differs from the whole one that skips them, in output or in work."""
    left_out = {path: how for stage in stages for path, how in stage.left_out(stage.always).items()}
    units = [group.units for group in trial.structure.groups]
    view = build(trial.views.plan(units, left_out, {}), differentiable, cloned)
    try:
        with torch.no_grad(), op_by_op(), in_mode(view, training=False), _Work() as done:
            narrow = trial.example.call_on_copy(view)
        with torch.no_grad(), op_by_op(), in_mode(trial.model, training=False), skipped(trial.model, left_out):
            with _Work() as expected:
                wide = trial.example.call_on_copy(trial.model)
    except Exception as error:
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''} at {error_line(error)}"
    if done.total != expected.total:
        return "the code around the blocks computes less, too"
    return trial.difference(narrow, wide, "the skipping network's")


class _Work(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the operations of convolutions and products."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        count = flop_registry.get(func.overloadpacket)
        self.total += 0 if count is None else int(count(*args, **(kwargs or {}), out_val=out))
        return out
