"""Bytes of subnets of which some groups of layers are in int8, of files and between layers: predicted by group."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ofa.arch import Arch
from ofa.peak_memory import peak_activation_bytes
from ofa.resolution import resized
from search.candidates.figures import INT8_SIZES, Floats
from search.candidates.mixtures import Groups, group_of
from search.device.export import onnx_bytes
from search.device.flat import arrays_of
from search.device.int8_sizes import fitted, int8_sizes, parts_of, sampled
from search.device.quantization import peak_bytes, timing_inputs

if TYPE_CHECKING:
    from ofa.supernet import Supernet


class MixedSizes:
    """A file takes the bytes of its groups in int8 and of the others in float32, by models of both kinds of files.

    Between layers it is taken to need what it needs in float32, unless all of it is in int8: mostly more than it does.

    Args:
        groups: globs of layers by the group's name.

    Raises:
        InvalidInput: subnets cannot be quantized, or the peak of their activations is not known.
    """

    def __init__(self, supernet: Supernet, groups: Groups) -> None:
        self._supernet, self._groups = supernet, groups
        archs, quick = sampled(supernet), int8_sizes(supernet)
        peaks = np.asarray(peak_activation_bytes(supernet, archs), dtype=np.float64)
        written = np.array([_in_float32(supernet, arch) for arch in archs], dtype=np.float64)
        usual = fitted(parts_of(supernet, archs), peaks, written)
        self._rates, self._shares = (usual[0], quick.rates), (usual[1], quick.share)

    def predict(self, archs: Sequence[Arch], chosen: Sequence[Sequence[str]]) -> dict[str, Floats]:
        """Returns the two figures by name, (archs,), of Archs with the groups that each has in int8."""
        peaks = np.asarray(peak_activation_bytes(self._supernet, archs), dtype=np.float64)
        whole = parts_of(self._supernet, archs)
        quick = np.zeros_like(whole)
        for name in self._groups:
            held = np.array([name in names for names in chosen])[:, None]
            quick += held * parts_of(self._supernet, archs, partial(self._is_of, name))
        quick[:, 3] = quick[:, 2] / whole[:, 2]  # what a file takes at all, by its tensors in int8
        sizes = (whole - quick) @ self._rates[0] + quick @ self._rates[1]
        share = np.where(quick[:, 3] == 1, self._shares[1], self._shares[0])
        return dict(zip(INT8_SIZES, (sizes, share * peaks), strict=True))

    def _is_of(self, name: str, tensor: str) -> bool:
        return group_of(tensor.rpartition(".")[0], self._groups) == name


def _in_float32(supernet: Supernet, arch: Arch) -> tuple[int, int]:
    """The bytes of a subnet's file in float32, and the most between its layers."""
    net, example = supernet.extract(arch).to("cpu").eval(), resized(supernet.inputs, arch).rows(0, 1)
    content = onnx_bytes(net, example)
    return len(content), peak_bytes(content, next(timing_inputs(content, arrays_of(net, example))))
