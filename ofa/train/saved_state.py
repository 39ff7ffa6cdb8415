"""What a training saves and goes on from: everything that its next step depends on."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import msgspec
from torch import Tensor, nn

from ofa.checkpoint import load_checkpoint, load_weights, weights
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.identity import as_json, check_same
from ofa.records import convert
from ofa.task import Task
from ofa.train.loop import Callback
from ofa.train.optimizers import load_optimizer_state, optimizer_state
from ofa.train.settings import TrainSettings
from ofa.train.state import Progress, TrainState

_TENSOR = "__tensor__"


@runtime_checkable
class HasState(Protocol):
    """A part of a training, such as a callback, whose state belongs in the checkpoint."""

    def state_dict(self) -> dict[str, Any]:
        """Returns tensors and plain values, nested in dictionaries and lists."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Puts back what `state_dict` returned; tensors are on the CPU, tuples are lists, and keys text."""


class Meta(msgspec.Struct):
    """What is beside the tensors of a checkpoint."""

    settings: dict[str, Any]
    progress: dict[str, Any]
    optimizer: dict[str, dict[str, Any]]
    precision: dict[str, Any]
    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Content:
    """What a checkpoint holds, checked to be of this training."""

    path: Path
    tensors: Mapping[str, Tensor]
    meta: Meta


def training_record(
    model: nn.Module, data: Dataset, task: Task, settings: TrainSettings, others: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns, as JSON, all that decides the weights of a training: two trainings with the same are the same."""
    return as_json(
        {
            "model": {name: list(parameter.shape) for name, parameter in model.named_parameters()},
            "data": [data.name, len(data.train), data.input_shape, data.num_classes, data.preprocessing],
            "task": [task.name, task.loss, task.distill, task.call],  # metrics decide nothing of it
            **settings.deciding(),
            **others,
        }
    )


def stateful_parts(state: TrainState, callbacks: Sequence[Callback]) -> dict[str, HasState]:
    """Returns what has state besides model, optimizer and progress, by a name that is the same in every process."""
    parts: dict[str, HasState] = {} if state.average is None else {"average": state.average}
    for callback in callbacks:
        if isinstance(callback, HasState):
            name = f"{type(callback).__module__}.{type(callback).__qualname__}"
            count = sum(known.split("#")[0] == name for known in parts)
            parts[f"{name}#{count + 1}" if count else name] = callback
    return parts


def snapshot(
    state: TrainState, recorded: dict[str, Any], parts: Mapping[str, HasState]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Returns copies, on the CPU, of all tensors that the next step depends on, and the JSON-able values beside them.

    What the training does afterwards leaves them as they are.
    """
    optimizer_tensors, optimizer_values = optimizer_state(state.model, state.optimizer)
    tensors = {f"model/{name}": tensor for name, tensor in weights(state.model).items()}
    tensors |= {f"optimizer/{name}": tensor for name, tensor in optimizer_tensors.items()}
    values = {
        "settings": recorded,
        "progress": vars(state.progress),
        "optimizer": optimizer_values,
        "precision": state.precision.state(),
        "parts": {name: pack(part.state_dict(), f"parts/{name}", tensors) for name, part in parts.items()},
    }
    copies = {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
    return copies, copy.deepcopy(values)


def read_training(path: Path, recorded: Mapping[str, Any]) -> Content:
    """Returns what a checkpoint of this very training holds; nothing is changed yet.

    Raises:
        InvalidInput: the file is damaged, or of other settings.
    """
    tensors, values = load_checkpoint(path)
    if not set(Meta.__struct_fields__) <= values.keys():
        raise InvalidInput(f"{path} is not a training checkpoint; delete it, or train into another folder")
    meta: Meta = convert(values, Meta, f"{path} is damaged")
    check_same(recorded, meta.settings, str(path))
    return Content(path, tensors, meta)


def load_training(content: Content, state: TrainState, parts: Mapping[str, HasState]) -> None:
    """Puts what `read_training` returned into all parts of a training.

    Raises:
        InvalidInput: the state is of other callbacks or of another model.
    """
    path, tensors, meta = content.path, content.tensors, content.meta
    if differing := sorted(parts.keys() ^ meta.parts.keys()):
        with_it, without = ("it", "this training") if differing[0] in meta.parts else ("this training", "it")
        raise InvalidInput(
            f"{path} is of another training: {with_it} has the state of {differing[0]}, {without} does not; "
            f"use the same callbacks again, delete the file, or train into another folder"
        )
    for name, part in parts.items():
        try:
            part.load_state_dict(unpack(meta.parts[name], tensors))
        except InvalidInput:
            raise
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise InvalidInput(f"{path} is damaged (the state of {name}: {reason:.200}); delete it") from None
    progress: Progress = convert(meta.progress, Progress, f"{path}: progress")
    load_weights(state.model, _under("model/", tensors), str(path))
    load_optimizer_state(state.model, state.optimizer, _under("optimizer/", tensors), meta.optimizer)
    state.precision.load_state(meta.precision)
    state.progress = progress
    state.start_clock()


def pack(state: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Returns `state` as JSON-able values, its tensors put into `tensors` under names that start with `path`.

    Raises:
        InvalidInput: a value that is neither a tensor nor JSON-able.
    """
    if isinstance(state, Tensor):
        tensors[path] = state.detach()
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


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
