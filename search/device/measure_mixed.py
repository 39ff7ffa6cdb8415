"""Measuring subnets of which some layers compute in int8 and the others in float32, in the runtime's own kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import Example
from ofa.precisions import Int8Layers
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

if TYPE_CHECKING:
    from ofa.supernet import Supernet

LOADERS = ("onnxruntime", "openvino")  # those of ONNX files


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
    if not isinstance(runtime, Portable) or runtime.loader not in LOADERS:
        raise InvalidInput(
            f"groups of layers in int8 are measured as ONNX files, and not by the runtime {runtime.name!r}: give "
            f"search.int8_device a device of {' or '.join(LOADERS)}, or search one precision for all, search=joint_int8"
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
