"""From configuration to objects: data set, model, supernet and the pieces of a training."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.modes import in_mode
from search.paths import RunFolder

EXAMPLES = 2  # images that the supernet is traced with


def plain(config: DictConfig, *keys: str) -> dict[str, Any]:
    """Returns the named parts of a configuration, resolved, as dictionaries, lists and scalars.

    Raises:
        MissingMandatoryValue: a key that the user has to give ("???").
    """
    resolved = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(resolved, dict)
    return {key: resolved[key] for key in keys or map(str, resolved) if key in resolved}


def run_folder(config: DictConfig) -> RunFolder:
    """Returns the run's folder under the root of outputs.

    Raises:
        InvalidInput: a run name that is empty or a path.
    """
    name = str(config.run)
    if not name or name in (".", "..") or Path(name).name != name:
        raise InvalidInput(
            f"run={name!r} must be a plain name, such as run=main: outputs are in {config.outputs}/<run>/"
        )
    return RunFolder(Path(str(config.outputs)) / name)


def asked_device(config: DictConfig) -> str | None:
    """Returns the name of the device that a verb is narrowed to, None where it is not."""
    device = config.get("device")
    return None if device is None else str(device.name)


def build_data(config: Mapping[str, Any]) -> Dataset:
    """Returns the data set of a `data` group.

    Raises:
        InvalidInput: the target returns something else.
    """
    data = make(config["dataset"])
    if not isinstance(data, Dataset):
        raise InvalidInput(f"data.dataset made a {type(data).__name__}; it must return an ofa.data.Dataset")
    return data


def build_supernet(model: Mapping[str, Any], space: Mapping[str, Any], data: Dataset, seed: int) -> ofa.Supernet:
    """Returns the supernet of a `model` and a `space` group, its initial weights a function of `seed`.

    The model is given the data set's `input_shape` (C, H, W) and `num_classes`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make(model, input_shape=data.input_shape, num_classes=data.num_classes)
        example = torch.randn(EXAMPLES, *data.input_shape)
        check_logits(net, example, data)
        return ofa.Supernet(net, example, make(space))


def check_logits(net: torch.nn.Module, example: torch.Tensor, data: Dataset) -> None:
    """Looks at what the model returns; where it cannot run at all, the supernet says where and why.

    Raises:
        InvalidInput: no logits (images, classes), or NaN or infinity.
    """
    with in_mode(net, training=False), torch.no_grad():
        try:
            logits = net(example)
        except Exception:
            return
    name, shape = type(net).__name__, getattr(logits, "shape", None)
    if shape != (len(example), data.num_classes):
        given = type(logits).__name__ if shape is None else f"shape {tuple(shape)}"
        wanted = (len(example), data.num_classes)
        raise InvalidInput(f"{name} returns {given} for {len(example)} images; it must return logits {wanted}")
    if not torch.isfinite(logits).all():
        raise InvalidInput(f"{name} returns NaN or infinity for images of shape {data.input_shape}; check its layers")


def make(config: Mapping[str, Any], **arguments: Any) -> Any:
    """Returns what a `_target_` makes, lists and dictionaries given to it as plain ones."""
    return instantiate(dict(config), _convert_="all", **arguments)


def make_partial(name: str, config: Mapping[str, Any]) -> Any:
    """Returns the function that a `_target_` with `_partial_` makes, its given arguments checked by name.

    Raises:
        InvalidInput: it is no function, or takes no argument of that name.
    """
    function = make(config)
    if not isinstance(function, partial):
        raise InvalidInput(f"{name} must be a function with arguments left open: add _partial_: true")
    try:
        inspect.signature(function.func).bind_partial(*function.args, **function.keywords)
    except TypeError as error:
        raise InvalidInput(f"{name} ({config.get('_target_')}): {error}") from None
    except ValueError:  # a function of C, without a signature
        pass
    return function


def check_seed(seed: Any) -> int:
    """Returns the seed.

    Raises:
        InvalidInput: it is no whole number, or below 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInput(f"seed={seed!r} must be a whole number, at least 0")
    return seed


def positive(name: str, value: Any) -> int:
    """Returns `value` when it is a whole number of at least 1.

    Raises:
        InvalidInput: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(f"{name}={value!r} must be a whole number, at least 1")
    return value
