"""The state of a training in one checkpoint: going on from it gives the same bits as never having stopped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint, weights
from ofa.errors import InvalidInput
from ofa.train.optimizers import load_optimizer_state, optimizer_state
from ofa.train.precision import Precision
from ofa.train.settings import check_same

# One row an epoch: epoch, step, loss, learning_rate, seconds, and accuracy_<name>, in [0, 1], where measured.
History = list[dict[str, Any]]


@dataclass
class Progress:
    """How far a training is: the next step to do, the rows so far, and the losses of the unfinished epoch."""

    step: int = 0
    history: History = field(default_factory=list)
    epoch_losses: list[float] = field(default_factory=list)
    seconds: float = 0.0


def save_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    progress: Progress,
    settings: dict[str, Any],
) -> None:
    """Writes everything that the next step depends on, atomically."""
    save_checkpoint(path, *training_state(model, optimizer, precision, progress, settings))


def training_state(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    progress: Progress,
    settings: dict[str, Any],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns the tensors and the JSON-able meta that the next step depends on."""
    moving, values = optimizer_state(model, optimizer)
    tensors = {f"model/{name}": tensor for name, tensor in weights(model).items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in moving.items()}
    meta = {
        "settings": settings,
        "progress": vars(progress),
        "optimizer": values,
        "precision": precision.state(),
    }
    return tensors, meta


def load_training(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
    settings: dict[str, Any],
) -> Progress:
    """Returns how far the training in `path` is, after putting its state into model, optimizer and precision.

    Raises:
        InvalidInput: the file is damaged, or of other settings; nothing is changed then.
    """
    tensors, meta = load_checkpoint(path)
    if not {"settings", "progress", "optimizer", "precision"} <= meta.keys():
        raise InvalidInput(f"{path} is no training checkpoint; delete it, or train into another folder")
    check_same(settings, meta["settings"], str(path))
    return put_back(path, tensors, meta, model, optimizer, precision)


def put_back(
    path: Path,
    tensors: Mapping[str, Tensor],
    meta: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    precision: Precision,
) -> Progress:
    """Returns how far a training is, after putting what `training_state` returned into its parts.

    Raises:
        InvalidInput: the weights are of another model.
    """
    load_weights(model, _under("model/", tensors), str(path))
    load_optimizer_state(model, optimizer, _under("optimizer/", tensors), meta["optimizer"])
    precision.load_state(meta["precision"])
    return Progress(**meta["progress"])


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
