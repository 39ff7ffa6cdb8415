"""Runs any eager model once under a tracer."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ofa.computed_weights import change_computed, computed_weights
from ofa.inputs import Inputs, output_tensors
from ofa.modes import op_by_op, recurrence_in_steps
from ofa.structure import lanes, op_rules
from ofa.structure.trace import Trace
from ofa.structure.tracer import Tracer


def run(
    model: nn.Module,
    example: Inputs,
    labeled: Mapping[str, tuple[Tensor, Sequence[Tensor | None]]],
    *,
    grouped: frozenset[str] = frozenset(),
    foreign: Mapping[str, Sequence[Tensor]] | None = None,
    input_label: int | None = None,
    training: bool = False,
) -> tuple[Trace, Any]:
    """Returns the trace and the output of `model` on the example, run without gradients and without chance.

    `model` must be a private copy or a view: hooks are put on its modules and removed again.
    `labeled` holds each parameter and buffer with its labels by dimension; touching a `foreign` tensor is
    recorded. The inputs' labels count from `input_label` along every dimension but that of the
    examples, and stay. In `training` mode the buffers may change.
    """
    trace = Trace(grouped=set())
    example = example.map(torch.clone)  # the forward may write into its inputs
    tracer = Tracer(trace, example.batch, op_rules.apply, grouped)
    for name, (tensor, labels) in labeled.items():
        tracer.add_source(name, tensor, labels)
    for name, tensors in (foreign or {}).items():
        for tensor in tensors:
            tracer.add_foreign(name, tensor)
    if input_label is not None:
        _label_inputs(tracer, example, input_label)
    handles = _watch(model, tracer)
    try:
        with in_mode(model, training), torch.no_grad(), tracer:
            output = example.call(model)
    finally:
        for handle in handles:
            handle.remove()
    for value in output_tensors(output):
        for lane in tracer.lanes(value):
            trace.fix(lane, "is the network's output")
        trace.finite = trace.finite and bool(torch.isfinite(value).all())
    return trace, output


@contextmanager
def in_mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Puts a private copy into train or eval mode, then into eval mode; draws are the same in every run."""
    model.train(training)
    try:
        with torch.random.fork_rng(devices=[]), _same_draws(), op_by_op(), recurrence_in_steps(model):
            torch.default_generator.manual_seed(0)
            yield
    finally:
        model.eval()


@contextmanager
def _same_draws() -> Iterator[None]:
    """Seeds what the model's code may draw from beside PyTorch, such as masks of NumPy's, and restores it."""
    drawn, state = np.random.get_state(), random.getstate()
    np.random.seed(0)
    random.seed(0)
    try:
        yield
    finally:
        np.random.set_state(drawn)
        random.setstate(state)


def _label_inputs(tracer: Tracer, example: Inputs, first: int) -> None:
    """Gives every tensor of the inputs labels of its own, from `first` on."""
    for tensor in example.tensors().values():
        new = []
        for d in range(1 if example.is_batched(tensor) else 0, tensor.dim()):
            ids = torch.arange(first, first + tensor.size(d))
            tracer.trace.fix(ids, "is the network's input")
            new.append(lanes.along(ids, d, tensor.shape))
            first += tensor.size(d)
        tracer.label(tensor, new)


def _watch(model: nn.Module, tracer: Tracer) -> list[Any]:
    """Puts hooks on every module that keep the tracer's path; returns their handles."""
    handles: list[Any] = []
    for path, module in model.named_modules():
        enter, leave = _hooks(path, tracer)
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, with_kwargs=True))
        for weight in computed_weights(module):
            if weight.original is not None:
                note = partial(_noted, tracer, module, weight.original)
                handles.append(change_computed(module, weight, note))
    return handles


def _noted(tracer: Tracer, layer: nn.Module, original: str, computed: Tensor) -> Tensor:
    """Returns a weight that a layer computed, once the tracer knows what it stands for."""
    part, _, name = original.rpartition(".")
    tracer.stands_for(computed, getattr(layer.get_submodule(part), name))
    return computed


def _hooks(path: str, tracer: Tracer) -> tuple[Callable[..., None], Callable[..., None]]:
    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tracer.enter(path, args, kwargs)

    def leave(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        tracer.leave(path, args, kwargs, output)

    return enter, leave
