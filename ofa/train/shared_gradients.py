"""The gradients of a training, in one flat buffer where processes share a step: a single exchange adds them all up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ofa.norms import BatchNorm
from ofa.processes import Processes

if TYPE_CHECKING:
    from ofa.train.state import TrainState


@contextmanager
def gradients_of(state: TrainState, parameters: Sequence[nn.Parameter], group: Processes) -> Iterator[Gradients]:
    """Yields the gradients of a training; afterwards parameters have none."""
    gradients = Gradients(state, parameters, group)
    try:
        yield gradients
    finally:
        for parameter in parameters:
            parameter.grad = None


@dataclass
class _Buffer:
    """One flat tensor, the slices of it that are gradients, and those that are norm statistics."""

    flat: Tensor
    parameters: list[nn.Parameter] = field(default_factory=list)
    slices: list[Tensor] = field(default_factory=list)
    present: Tensor | None = None
    statistics: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class Gradients:
    """The gradients of a training: cleared before a step, and added up over all processes after it."""

    def __init__(self, state: TrainState, parameters: Sequence[nn.Parameter], group: Processes) -> None:
        self._group, self._state = group, state
        self._buffers: list[_Buffer] = []
        self._held: list[Tensor] = []
        if not group.alone:
            own = [] if state.held_gradients else _statistics(state.model)  # views have statistics of their own
            self._buffers = _flat_buffers(parameters, own)
            held = [
                (parameter, piece)
                for buffer in self._buffers
                for parameter, piece in zip(buffer.parameters, buffer.slices, strict=True)
            ]
        else:
            held = [(parameter, torch.zeros_like(parameter)) for parameter in parameters if state.held_gradients]
        if state.held_gradients:
            for parameter, gradient in held:
                parameter.grad = gradient
            self._held = [gradient for _, gradient in held]

    def clear(self) -> None:
        """Clears the gradients: to zeros where views add into them, to none otherwise."""
        if self._buffers and self._held:
            torch._foreach_zero_([buffer.flat for buffer in self._buffers])
        elif self._held:
            torch._foreach_zero_(self._held)
        else:
            self._state.optimizer.zero_grad()

    def add_up(self, loss: Tensor) -> Tensor:
        """Returns the loss of the whole batch, after adding up gradients and averaging norm statistics everywhere.

        `loss` is this process's share of it. Losses are exchanged with the gradients.
        """
        if self._group.alone:
            return loss
        with torch.no_grad():
            first = self._buffers[0].flat
            first[-1:].copy_(loss.reshape(1))
            for buffer in self._buffers:
                self._fill(buffer)
                self._group.sum_(buffer.flat)
                self._take(buffer)
            return first[-1].to(loss, copy=True)

    def _fill(self, buffer: _Buffer) -> None:
        for piece, statistic in buffer.statistics:
            torch.div(statistic, self._group.count, out=piece)
        if self._held or buffer.present is None:
            return
        given = [parameter.grad for parameter in buffer.parameters]
        pairs = [(piece, grad) for piece, grad in zip(buffer.slices, given, strict=True) if grad is not None]
        if len(pairs) < len(given):
            buffer.flat[: -1 - sum(piece.numel() for piece, _ in buffer.statistics)].zero_()
        if pairs:
            torch._foreach_copy_([piece for piece, _ in pairs], [grad for _, grad in pairs])
        buffer.present.copy_(torch.tensor([float(grad is not None) for grad in given]))

    def _take(self, buffer: _Buffer) -> None:
        for piece, statistic in buffer.statistics:
            statistic.copy_(piece)
        if self._held or buffer.present is None:
            return
        somewhere: list[bool] | None = None
        for number, (parameter, piece) in enumerate(zip(buffer.parameters, buffer.slices, strict=True)):
            if parameter.grad is None:  # optimizers leave such a weight alone, unless another process has a gradient
                somewhere = (buffer.present > 0).tolist() if somewhere is None else somewhere
                if not somewhere[number]:
                    continue
            parameter.grad = piece


def _statistics(model: nn.Module) -> list[Tensor]:
    """The running means and variances of a network's batch norms, each once."""
    norms = [module for module in model.modules() if isinstance(module, BatchNorm)]
    statistics = [tensor for norm in norms for tensor in (norm.running_mean, norm.running_var) if tensor is not None]
    return list({id(tensor): tensor for tensor in statistics}.values())


def _flat_buffers(parameters: Sequence[nn.Parameter], statistics: Sequence[Tensor]) -> list[_Buffer]:
    """A buffer for each number format: gradients, which of them there are, statistics, and last the loss."""
    kinds: dict[tuple[torch.dtype, torch.device], tuple[list[nn.Parameter], list[Tensor]]] = {}
    for parameter in parameters:
        kinds.setdefault((parameter.dtype, parameter.device), ([], []))[0].append(parameter)
    for statistic in statistics:
        kinds.setdefault((statistic.dtype, statistic.device), ([], []))[1].append(statistic)
    buffers = []
    for (dtype, device), (learned, moved) in kinds.items():
        counts = [tensor.numel() for tensor in learned], [tensor.numel() for tensor in moved]
        flat = torch.zeros(sum(counts[0]) + len(learned) + sum(counts[1]) + 1, dtype=dtype, device=device)
        pieces = torch.split(flat, [*counts[0], len(learned), *counts[1], 1])
        buffer = _Buffer(flat, learned, present=pieces[len(learned)])
        buffer.slices = [_shaped(piece, like) for piece, like in zip(pieces, learned, strict=False)]
        own = pieces[len(learned) + 1 : -1]
        buffer.statistics = [(piece.view_as(tensor), tensor) for piece, tensor in zip(own, moved, strict=True)]
        buffers.append(buffer)
    # The loss is best kept by the format of the most bits.
    return sorted(buffers, key=lambda buffer: -torch.finfo(buffer.flat.dtype).bits)


def _shaped(piece: Tensor, parameter: Tensor) -> Tensor:
    """A piece of a flat buffer in a parameter's shape, and in its layout where that leaves no gaps (channels last)."""
    strides = sorted(zip(parameter.stride(), parameter.shape, strict=True))
    dense = 1
    for stride, size in strides:
        if size != 1 and stride != dense:
            return piece.view(parameter.shape)
        dense *= size
    return piece.as_strided(parameter.shape, parameter.stride(), piece.storage_offset())
