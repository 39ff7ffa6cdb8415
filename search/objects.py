"""From configuration to objects: data set, model, supernet and the pieces of a training."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from hydra.utils import get_object, instantiate
from torch import nn

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.modes import in_mode
from ofa.records import Object
from ofa.task import Batch, Task, as_batch, classification
from ofa.task.scoring import check_finite

FILLED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def offered(input_shape: Sequence[int], num_classes: int) -> dict[str, Any]:
    """Returns the arguments offered to a model factory, under the names that are commonly used for them.

    The size of square images is one number, otherwise (height, width). Signals (C, T) have channels, and
    rows of a table and texts, (T,), have T features.
    """
    shape = tuple(int(size) for size in input_shape)
    names: dict[str, Any] = {"input_shape": shape}
    names |= dict.fromkeys(("num_classes", "classes", "n_classes", "num_outputs"), num_classes)
    if len(shape) == 1:
        return names | {"in_features": shape[0]}
    if len(shape) in (2, 3):
        names |= dict.fromkeys(("in_channels", "in_chans", "input_channels"), shape[0])
    if len(shape) == 3:
        _, height, width = shape
        names |= dict.fromkeys(("input_size", "image_size", "img_size"), height if height == width else (height, width))
    return names


def make_model(config: Object, input_shape: Sequence[int], num_classes: int) -> nn.Module:
    """Returns the model of a `model` group; arguments set in its configuration take precedence.

    A factory with no readable signature, or with `**kwargs` alone, is passed `input_shape` and `num_classes`.

    Raises:
        InvalidInput: a required argument is missing, or the factory returns no `nn.Module`.
    """
    available = offered(input_shape, num_classes)
    taken = _taken(config, available)
    arguments = {name: available[name] for name in taken if name not in config}
    model = instantiate(dict(config), _convert_="all", **arguments)
    if not isinstance(model, nn.Module):
        raise InvalidInput(
            f"model: {config.get('_target_')} made a {type(model).__name__}; it must return an nn.Module"
        )
    return model


def _taken(config: Mapping[str, Any], available: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the available arguments that the factory takes."""
    usual = ("input_shape", "num_classes")
    try:
        factory = get_object(str(config.get("_target_")))
        parameters = inspect.signature(factory).parameters
    except Exception:  # it has no signature, or cannot be imported, which `instantiate` reports better
        return usual
    named = [name for name, parameter in parameters.items() if parameter.kind in FILLED]
    taken = tuple(name for name in named if name in available)
    missing = [
        name for name in named if parameters[name].default is inspect.Parameter.empty and name not in {*taken, *config}
    ]
    if missing and "_args_" not in config:
        raise InvalidInput(
            f"model: {config.get('_target_')} needs {', '.join(missing)}: give model.{missing[0]}=... "
            f"(set automatically where it takes them: {', '.join(available)})"
        )
    open_ended = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    return usual if open_ended and not taken else taken


EXAMPLES = 2  # images that the supernet is traced with


def example_of(input_shape: Sequence[int], generator: torch.Generator | None = None) -> torch.Tensor:
    """Returns what a network of a data set is traced with: noise for images (C, H, W), token ids for texts (T,).

    Token ids are 0 and 1, which every vocabulary has.
    """
    if len(input_shape) == 1:
        return torch.randint(2, (EXAMPLES, *input_shape), generator=generator)
    return torch.randn(EXAMPLES, *input_shape, generator=generator)


def example_for(data: Dataset) -> Any:
    """Returns what a network of a data set is traced with (see `Dataset.example`)."""
    return data.example(EXAMPLES)


def build_data(config: Mapping[str, Any]) -> Dataset:
    """Returns the data set of a `data` group.

    Raises:
        InvalidInput: the target returns something else.
    """
    data = make(config["dataset"])
    if not isinstance(data, Dataset):
        raise InvalidInput(f"data.dataset made a {type(data).__name__}; it must return an ofa.data.Dataset")
    return data


def build_task(config: Object, data: Dataset) -> Task:
    """Returns the task of a `task` group, of a data set.

    Raises:
        InvalidInput: the target makes something else, or fails.
    """
    make_task = make_partial("task", config)
    try:
        task = make_task(data)
    except InvalidInput:
        raise
    except Exception as error:
        raise InvalidInput(f"task: {config.get('_target_')}: {type(error).__name__}: {error}") from error
    if not isinstance(task, Task):
        made = f"{config.get('_target_')} made a {type(task).__name__}"
        raise InvalidInput(f"task: {made}; it must return an ofa.task.Task")
    return task


def build_supernet(
    model: Object,
    space: Object,
    data: Dataset,
    seed: int,
    *,
    task: Task | None = None,
    fill: Callable[[nn.Module], None] | None = None,
) -> ofa.Supernet:
    """Returns the supernet of a `model` and a `space` group, its initial weights a function of `seed`.

    The model is passed those of the data set's sizes that it takes, see `search.objects.offered`. Its outputs are
    checked against the task, classification if None. `fill` gives it other weights before it is converted, such as
    pretrained ones.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make_model(model, data.input_shape, data.num_outputs)
        example = example_for(data)
        if fill is not None:
            fill(net)
        check_outputs(net, data, task or classification(data))
        return ofa.Supernet(net, example, make(space))


def supernet_of(
    model: Object,
    space: Object,
    input_shape: Sequence[int],
    classes: int,
    seed: int,
    *,
    fill: Callable[[nn.Module], None] | None = None,
    data: Dataset | None = None,
) -> ofa.Supernet:
    """Returns the supernet of a `model` and a `space` group for inputs of a shape, whatever its outputs are.

    Args:
        model: and `space`: of the configuration.
        input_shape: (C, H, W) of images, (T,) of texts.
        classes: offered to the model.
        seed: of its fresh weights and of the example.
        fill: gives it other ones.
        data: tells what inputs are; None: noise for images, and token ids for texts.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make_model(model, input_shape, classes)
        if fill is not None:
            fill(net)
        return ofa.Supernet(net, example_of(input_shape) if data is None else example_for(data), make(space))


def check_outputs(net: torch.nn.Module, data: Dataset, task: Task) -> None:
    """Checks a model's outputs for training examples, and their targets, before anything long.

    If the model cannot run at all, `ofa.Supernet` reports where and why.

    Raises:
        InvalidInput: they do not fit the task, or the outputs have NaN or infinity.
    """
    device = next((tensor.device for tensor in net.parameters()), torch.device("cpu"))
    batch = as_batch(next(iter(data.train.in_order(EXAMPLES)))).to(device)
    with in_mode(net, training=False), torch.no_grad():
        try:
            outputs = task.call(net, batch)
        except Exception:
            return
    name = type(net).__name__
    try:
        task.check(outputs, batch)
    except InvalidInput as error:
        raise InvalidInput(str(error).replace("the network", name, 1)) from None
    check_finite(outputs, name)
    _check_loss(task, outputs, batch)


def _check_loss(task: Task, outputs: Any, batch: Batch) -> None:
    """Raises InvalidInput where a loss is no scalar; one that needs training's outputs is seen in the first step."""
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            loss = task.loss(outputs, batch)
        except Exception:
            return
    if not isinstance(loss, torch.Tensor) or loss.dim():
        made = f"a tensor {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
        raise InvalidInput(f"the loss of task {task.name} is {made}; it must be a scalar tensor, such as a mean")


def make(config: Object, **arguments: Any) -> Any:
    """Returns what a `_target_` makes, its lists and dictionaries passed as plain ones."""
    return instantiate(dict(config), _convert_="all", **arguments)


def make_partial(name: str, config: Object) -> Any:
    """Returns the function that a `_target_` with `_partial_` makes, its bound arguments checked by name.

    Raises:
        InvalidInput: it is not a partial function, or takes no argument of that name.
    """
    function = make(config)
    if not isinstance(function, partial):
        raise InvalidInput(f"{name} must be a function with arguments left open: add _partial_: true")
    try:
        inspect.signature(function.func).bind_partial(*function.args, **function.keywords)
    except TypeError as error:
        raise InvalidInput(f"{name} ({config.get('_target_')}): {error}") from None
    except ValueError:  # implemented in C, without a signature
        pass
    return function
