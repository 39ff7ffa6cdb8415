"""The state of a plain network's training, its pruner included, in one checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.errors import InvalidInput
from ofa.train.precision import Precision
from ofa.train.resume import Progress, put_back, training_state
from ofa.train.settings import check_same

_TENSOR = "__tensor__"


class HasState(Protocol):
    """What a checkpoint asks of a pruner."""

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values, nested in dictionaries and lists."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned; tensors are on the CPU, tuples are lists, and keys text."""


def pack(state: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Returns `state` as JSON-able values, its tensors moved into `tensors` under names that start with `path`.

    Raises:
        InvalidInput: a value that is neither a tensor nor JSON-able.
    """
    if isinstance(state, Tensor):
        tensors[path] = state.detach().clone()
        return {_TENSOR: path}
    if isinstance(state, Mapping):
        return {str(key): pack(value, f"{path}/{key}", tensors) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [pack(value, f"{path}/{index}", tensors) for index, value in enumerate(state)]
    if state is None or isinstance(state, bool | int | float | str):
        return state
    raise InvalidInput(f"the state of {path} holds a {type(state).__name__}; it must be tensors and plain values")


def unpack(state: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Returns what `pack` was given; tuples come back as lists, and keys as text."""
    if isinstance(state, dict):
        if state.keys() == {_TENSOR}:
            return tensors[state[_TENSOR]]
        return {key: unpack(value, tensors) for key, value in state.items()}
    if isinstance(state, list):
        return [unpack(value, tensors) for value in state]
    return state


def save_network(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    pruner: HasState | None,
    progress: Progress,
    settings: dict[str, Any],
) -> None:
    """Writes everything that the next step depends on, atomically."""
    tensors, meta = training_state(model, optimizer, precision, progress, settings)
    meta["pruner"] = None if pruner is None else pack(pruner.state_dict(), "pruner", tensors)
    save_checkpoint(path, tensors, meta)


def read_network(path: Path, settings: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors and the meta of a checkpoint of this very training; nothing is changed yet.

    Raises:
        InvalidInput: the file is damaged, or of other settings.
    """
    tensors, meta = load_checkpoint(path)
    if not {"settings", "progress", "optimizer", "precision", "pruner"} <= meta.keys():
        raise InvalidInput(f"{path} is no checkpoint of a plain network; delete it, or train into another folder")
    check_same(settings, meta["settings"], str(path))
    return tensors, meta


def load_network(
    path: Path,
    held: tuple[dict[str, Tensor], dict[str, Any]],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    pruner: HasState | None,
) -> Progress:
    """Returns how far the training is, after putting what `read_network` returned into all of its parts.

    Raises:
        InvalidInput: the weights are of another model.
    """
    tensors, meta = held
    if pruner is not None:
        pruner.load_state_dict(unpack(meta["pruner"], tensors))
    return put_back(path, tensors, meta, model, optimizer, precision)
