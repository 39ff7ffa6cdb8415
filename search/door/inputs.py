"""What the functions of the door are given, looked at before anything is begun."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput, nearest
from ofa.task import Task, classification
from search import samplers
from search.app.messages import explain
from search.candidates.figures import FIGURES, LATENCY
from search.candidates.metric_limits import metric_limits
from search.config.read import checked, converted, group_option
from search.config.request import Device
from search.config.search import FigureLimits
from search.device import runtimes
from search.device.devices import made_runtime
from search.device.flat import first_shape
from search.device.runtime import Runtime
from search.objects import check_outputs
from search.run.scores import metrics_of

AnyDevice = str | Mapping[str, Any] | Device | Runtime


def plain_values(value: Any) -> Any:
    """Returns values as configurations have them: numbers of NumPy as Python's own, paths as text, tuples as lists."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: plain_values(inner) for key, inner in value.items()}
    return [plain_values(inner) for inner in value] if isinstance(value, list | tuple) else value


def check_supernet(supernet: Any, user: str) -> None:
    """Checks that `user`, a function of the door, was given a supernet.

    Raises:
        InvalidInput: it was given something else.
    """
    if not isinstance(supernet, ofa.Supernet):
        raise InvalidInput(
            f"search.{user} takes an ofa.Supernet, not a {type(supernet).__name__}: "
            f"make one of a network, ofa.Supernet(network, example_input)"
        )


def check_data(data: Any, supernet: ofa.Supernet, user: str, task: Task | None = None) -> None:
    """Checks that `user` was given data that the supernet takes.

    Raises:
        InvalidInput: another kind of data, images of another shape, or a network whose outputs do not fit the task,
            classification if None.
    """
    if not isinstance(data, Dataset):
        raise InvalidInput(
            f"search.{user} takes an ofa.data.Dataset, not a {type(data).__name__}: make one of tensors, "
            f"ofa.data.from_tensors(images, labels)"
        )
    wanted = first_shape(supernet.inputs)[1:]
    if data.input_shape != wanted:
        raise InvalidInput(f"{data.name} has inputs {data.input_shape}, and the supernet was made for {wanted}")
    check_outputs(supernet.model, data, task or classification(data))


def split_limits(limits: Mapping[str, Any] | None, task: Task) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Returns the limits on latency, as `latency_ms` of a request has them, those on other figures, and on metrics.

    Raises:
        InvalidInput: no mapping, an unknown name, or a limit against the direction of its metric.
    """
    if limits is None:
        return None, {}, {}
    if not isinstance(limits, Mapping):
        raise InvalidInput(f"limits={limits!r:.80} must be a mapping, such as {{'latency_ms': 4, 'params': 1e6}}")
    metrics = metrics_of(task)
    known = (*FIGURES, *(metric.name for metric in metrics))
    for name in limits:
        if name not in known:
            raise InvalidInput(f"limits has {name!r}, no figure and no metric; {nearest(str(name), known)}")
    limits = plain_values(limits)
    others = {name: limit for name, limit in limits.items() if name in FIGURES and name != LATENCY}
    converted(others, FigureLimits, "limits")
    of_metrics = {name: limit for name, limit in limits.items() if name not in FIGURES}
    metric_limits(of_metrics, metrics)
    return limits.get(LATENCY), others, of_metrics


def task_config(task: Any) -> dict[str, Any]:
    """Returns the `task` group of a configuration.

    Args:
        task: a name of conf/task, such as "regression", or a mapping with `_target_`, without `_partial_`.

    Raises:
        InvalidInput: an unknown name, or something else.
    """
    if isinstance(task, str):
        return group_option("task", task)
    if isinstance(task, Mapping):
        return {"_partial_": True, **{str(key): plain_values(value) for key, value in task.items()}}
    raise InvalidInput(
        f"task={task!r:.80} must be a name of conf/task, such as 'regression', or a mapping with _target_: verbs make "
        "the task again from it"
    )


def sampler_config(sampler: Any) -> dict[str, Any]:
    """Returns the sampler of a request.

    Args:
        sampler: a name of conf/sampler, such as "nsga2"; a mapping with `_target_`; or a function of
            `search.samplers`, with arguments by `functools.partial`.

    Raises:
        InvalidInput: something else.
    """
    if isinstance(sampler, str):
        return group_option("sampler", sampler)
    if isinstance(sampler, Mapping):
        return {str(key): plain_values(value) for key, value in sampler.items()}
    given = sampler.keywords if isinstance(sampler, functools.partial) else {}
    function: Callable[..., Any] = sampler.func if isinstance(sampler, functools.partial) else sampler
    name = getattr(function, "__qualname__", "")
    if not callable(function) or not name or not name.isidentifier():
        raise InvalidInput(
            f"sampler={sampler!r:.80} must be a name, such as 'nsga2', a mapping with _target_, or a function of "
            f"search.samplers: a sampler itself cannot be seeded anew for each step"
        )
    module = samplers.__name__ if getattr(samplers, name, None) is function else function.__module__
    partial = {} if isinstance(function, type) else {"_partial_": True}
    return {"_target_": f"{module}.{name}", **partial, **plain_values(given)}


def finetune_config(finetune: Any) -> dict[str, Any] | None:
    """Returns the `finetune` group of a request; None for none.

    Args:
        finetune: a name of conf/finetune, such as "default", or a mapping of keys that differ from it.

    Raises:
        InvalidInput: an unknown name, or something else.
    """
    if finetune is None:
        return None
    if isinstance(finetune, str):
        return group_option("finetune", finetune)
    if isinstance(finetune, Mapping):
        return {**group_option("finetune", "default"), **plain_values(finetune)}
    raise InvalidInput(
        f"finetune={finetune!r:.80} must be 'default', a mapping of keys of conf/finetune/default.yaml, such as "
        "{'epochs': 6}, or None"
    )


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns what Hydra says of an object that cannot be made into the one line that the command line would say.

    Raises:
        InvalidInput: in place of Hydra's and OmegaConf's errors.
    """
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        raise InvalidInput(explain(error) or str(error)) from error


def device_of(device: AnyDevice) -> Device:
    """Returns the device that a call names.

    Args:
        device: a name of conf/device, such as "onnxruntime" or "eager"; a Device; a mapping of what its keys are, such
            as {"name": "laptop", "runtime": {"_target_": ..., "threads": 4}}; or a Runtime, whose `describe()` has to
            follow from the arguments of its class.

    Raises:
        InvalidInput: an unknown name or key, or a runtime that cannot be made or made again.
    """
    if isinstance(device, str):
        return converted(group_option("device", device), Device, "device")
    if isinstance(device, Mapping):
        return converted(plain_values({**_usual(device), **device}), Device, "device")
    if isinstance(device, Device):
        return checked(device)
    if isinstance(device, Runtime) and not inspect.isclass(device):
        return _device_of_runtime(device)
    raise InvalidInput(
        f"device={device!r:.80} must be a name, such as 'onnxruntime', a mapping with name and runtime, a "
        f"search.config.request.Device or a runtime with name, load(net, example_input) and describe()"
    )


def _usual(device: Mapping[str, Any]) -> dict[str, Any]:
    """What a mapping that gives a name of conf/device alone leaves open."""
    name = device.get("name")
    if isinstance(name, str) and "runtime" not in device:
        return group_option("device", name)
    return {}


def _device_of_runtime(runtime: Runtime) -> Device:
    """The device of a runtime, described so that it can be made again: by a worker, or by a later verb."""
    kind = type(runtime)
    module = runtimes.__name__ if getattr(runtimes, kind.__name__, None) is kind else kind.__module__
    target = f"{module}.{kind.__qualname__}"
    config = {"_target_": target, **_arguments(runtime)}
    remedy = f"give it as device={{'name': {runtime.name!r}, 'runtime': {{'_target_': {target!r}, ...}}}}"
    try:
        again = made_runtime(config)
    except Exception as error:  # whatever its import or its class raises
        reason = " ".join(str(error).split())
        raise InvalidInput(f"the runtime {kind.__qualname__} cannot be made again ({reason:.200}): {remedy}") from error
    if again.describe() != runtime.describe():
        raise InvalidInput(
            f"{config} makes a runtime that is {again.describe()}, and the one given is {runtime.describe()}: {remedy}"
        )
    return converted({"name": runtime.name, "runtime": config}, Device, "device")


def _arguments(runtime: Runtime) -> dict[str, Any]:
    """The arguments of a runtime's class that it still knows: as attributes, or among its `options`."""
    options = getattr(runtime, "options", {})
    known = {**vars(runtime), **(options if isinstance(options, Mapping) else {})}
    taken = inspect.signature(type(runtime)).parameters
    return {name: known[name] for name in taken if isinstance(known.get(name), str | int | float | bool)}
