"""The device of a call: named, described, or a runtime that is there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ofa.errors import InvalidInput
from search.config.read import checked, converted, group_option
from search.config.request import Device
from search.device import runtimes
from search.device.devices import made_runtime
from search.device.runtime import Runtime
from search.door.inputs import plain_values

AnyDevice = str | Mapping[str, Any] | Device | Runtime


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
