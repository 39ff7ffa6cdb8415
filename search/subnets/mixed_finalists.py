"""Finalists of which some layers compute in int8: measured in the runtime's own kernels, no sum of parts decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.precisions import Int8Layers, int8_layers
from search.candidates.figures import LATENCY, in_int8, int8_groups
from search.candidates.mixtures import Groups
from search.candidates.search_files import TrialRow
from search.device.devices import SearchDevice
from search.device.export import onnx_bytes
from search.device.flat import arrays_of
from search.device.latency.sample import network_of
from search.device.measure_archs import drift_since, scale_anchors
from search.device.measuring import Progress, measure
from search.device.profile import Profile
from search.device.quantization import int8, timing_inputs
from search.device.runtime import Portable, Runtime
from search.device.standalone.loaders import load_network
from search.device.timing import clock_named
from search.run.progress import say
from search.text import percent_text

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Mixed = tuple[Arch, tuple[str, ...]]  # a subnet and its groups of layers in int8
# Measures subnets with some groups of layers in int8: ms of each.
MeasureMixed = Callable[[Sequence[Mixed]], Sequence[float]]
OF_ONNX = ("onnxruntime", "openvino")


def add_mixed(measured: Mapping[Arch, dict[str, float]], rows: Sequence[TrialRow], measure: MeasureMixed) -> None:
    """Adds the times of candidates of which some groups of layers compute in int8, where they are not known."""
    parted = {(row.arch, groups): None for row in rows if row.arch and (groups := int8_groups(row.settings))}
    new = [pair for pair in parted if in_int8(LATENCY, pair[1]) not in measured[pair[0]]]
    for (arch, groups), ms in zip(new, measure(new) if new else (), strict=True):
        measured[arch][in_int8(LATENCY, groups)] = float(ms)


def is_measured(row: TrialRow, measured: Mapping[Arch, Mapping[str, float]]) -> bool:
    """Returns whether a candidate's time is known, in the kernels that it computes with."""
    groups = int8_groups(row.settings)
    known = {} if row.arch is None else measured.get(row.arch, {})
    return bool(known) and (not groups or in_int8(LATENCY, groups) in known)


def measured_mixed(
    supernet: Supernet,
    devices: Sequence[SearchDevice],
    groups: Groups,
    subnets: Sequence[Mixed],
    progress: Progress,
    **protocol: Any,
) -> list[float]:
    """Returns the ms of subnets with some groups of layers in int8, on the device in int8.

    Args:
        groups: globs of layers by the group's name.
        protocol: visits, repeats and seconds of the measurement.
    """
    device = next(device for device in devices if device.figure == in_int8(LATENCY))
    return measure_mixed(
        supernet,
        [(arch, int8_layers(groups, chosen)) for arch, chosen in subnets],
        device.make_runtime(),
        profile=device.profile,
        progress=progress,
        **protocol,
    )


def say_mixed(rows: Sequence[TrialRow], measured: Mapping[Arch, Mapping[str, float]]) -> None:
    """Prints how far predictions of mixed candidates were off, of those that were measured."""
    pairs = [
        (row.figures[LATENCY], times[name])
        for row in rows
        if row.arch is not None
        and (times := measured.get(row.arch)) is not None
        and (name := in_int8(LATENCY, int8_groups(row.settings))) in times
    ]
    if pairs:
        error = percent_text(float(np.mean([abs(predicted / ms - 1) for predicted, ms in pairs])), 1)
        say(f"search: ms predicted of candidates with some layers in int8 were off by {error} ({len(pairs)} measured)")


def check_measurable(devices: Sequence[SearchDevice], groups: Groups) -> None:
    """Checks before a search that candidates with some groups of layers in int8 can be measured.

    Raises:
        InvalidInput: the device in int8 is another machine, or has a runtime of other files than ONNX.
    """
    for device in devices:
        if groups and device.figure == in_int8(LATENCY):
            if device.remote:
                raise InvalidInput(
                    f"search.int8_device={device.profile.name} is another machine, and groups of layers in int8 are "
                    "measured on this one alone: search one precision for all there, search=joint_int8"
                )
            checked_runtime(device.make_runtime())


class MixedRuntime:
    """A runtime of int8 that loads some networks with layers in float32.

    Args:
        runtime: in int8, of ONNX files.
        networks: with the layers that each has in int8; every other network is all in int8.

    Raises:
        InvalidInput: a runtime of other files.
    """

    def __init__(self, runtime: Runtime, networks: Sequence[tuple[nn.Module, Int8Layers]]) -> None:
        self._runtime = checked_runtime(runtime)
        self._networks = networks
        self.name = runtime.name

    def load(self, net: nn.Module, example_input: Example) -> Callable[[], object]:
        """Returns a function that runs `net` once on `example_input`."""
        layers = next((layers for other, layers in self._networks if other is net), None)
        if layers is None:
            return self._runtime.load(net, example_input)
        whole, given = onnx_bytes(net, example_input), arrays_of(net, example_input)
        files = {"onnx": int8(whole, timing_inputs(whole, given), layers)}
        return load_network(self._runtime.loader, files, given, self._runtime.options)

    def describe(self) -> dict[str, Any]:
        """Returns what the runtime in int8 reports."""
        return self._runtime.describe()


def checked_runtime(runtime: Runtime) -> Portable:
    """Returns a runtime that can load networks of which some layers are in int8.

    Raises:
        InvalidInput: it cannot.
    """
    if not isinstance(runtime, Portable) or runtime.loader not in OF_ONNX:
        raise InvalidInput(
            f"groups of layers in int8 are measured as ONNX files, and not by the runtime {runtime.name!r}: give "
            f"search.int8_device a device of {' or '.join(OF_ONNX)}, or search one precision for all, search=joint_int8"
        )
    return runtime


def measure_mixed(
    supernet: Supernet,
    subnets: Sequence[tuple[Arch, Int8Layers]],
    runtime: Runtime,
    *,
    profile: Profile,
    visits: int = 40,
    repeats: int = 8,
    seconds: float = 25.0,
    clock: str = "wall",
    progress: Progress | None = None,
) -> list[float]:
    """Returns the ms of subnets with their layers in int8, on the scale of the profile in int8.

    Args:
        visits, repeats, seconds, clock, progress: as in `search.device.measuring.measure`.

    Raises:
        InvalidInput: a runtime of other files than ONNX, or one that refuses a network.
    """
    again = scale_anchors(profile)
    nets = [network_of(supernet, arch, profile.workload) for arch, _ in subnets]
    anchors = [network_of(supernet, anchor.arch, profile.workload) for anchor in again]
    layers = [each for _, each in subnets]
    measured = measure(
        [*nets, *anchors],
        MixedRuntime(runtime, [(net, each) for (net, _), each in zip(nets, layers, strict=True)]),
        visits=visits,
        repeats=repeats,
        seconds=seconds,
        clock=clock_named(clock),
        progress=progress,
    )
    times = [timing.ms for timing in measured.timings]
    pairs = [(anchor.ms, ms) for anchor, ms in zip(again, times[len(nets) :], strict=True)]
    drift = drift_since(profile, measured.sentinel, pairs, measured.clock)
    return [ms / drift for ms in times[: len(nets)]]
