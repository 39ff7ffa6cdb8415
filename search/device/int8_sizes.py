"""Bytes of subnets in int8, wholly or by groups of layers: predicted by models of a few files that were written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

from ofa._cost import entries_of
from ofa.arch import Arch
from ofa.peak_memory import peak_activation_bytes
from ofa.resolution import resized
from search.candidates.figures import INT8_SIZES, Figures, Floats
from search.candidates.mixtures import Groups, group_of
from search.device.export import onnx_bytes
from search.device.flat import arrays_of
from search.device.quantization import int8, peak_bytes, timing_inputs
from search.run.progress import say
from search.text import percent_text

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SAMPLES = 12  # subnets that are written in int8


@dataclass(frozen=True)
class Int8Sizes:
    """A linear model of what subnets take in int8, fitted to a few that were written.

    A file takes bytes for each weight, for each number of a vector and for each tensor. Between layers lies a share of
    what the float32 network needs op by op, since a runtime joins layers and takes a byte a number.

    Attributes:
        rates: (4,), bytes of a weight, of a number of a vector, of a tensor, and of the file at all.
        share: of the peak of the float32 network's activations.
        held_out_errors: mean absolute error relative to what was written, by figure, of subnets held out in turn.
    """

    rates: Floats
    share: float
    held_out_errors: dict[str, float]

    def predict(self, supernet: Supernet, archs: Sequence[Arch]) -> dict[str, Floats]:
        """Returns the two figures of each Arch by name, (archs,)."""
        peaks = np.asarray(peak_activation_bytes(supernet, archs), dtype=np.float64)
        return dict(zip(INT8_SIZES, (parts_of(supernet, archs) @ self.rates, self.share * peaks), strict=True))


def int8_figures(supernet: Supernet, needed: Collection[str]) -> Figures:
    """Returns the figures in int8 of Archs by name, those that are needed, predicted; how far off is said at first.

    Args:
        needed: the names of all figures that are limited or optimized.
    """
    names, known = [name for name in INT8_SIZES if name in needed], list[Int8Sizes]()

    def figures(archs: Sequence[Arch]) -> dict[str, Floats]:
        if names and not known:
            known.append(int8_sizes(supernet))
            errors = " and ".join(f"{name} {percent_text(known[0].held_out_errors[name], 1)}" for name in names)
            say(f"search: sizes in int8 are predicted, off by {errors} on {SAMPLES} subnets held out")
        return {name: known[0].predict(supernet, archs)[name] for name in names}

    return figures


def int8_sizes(supernet: Supernet, seed: int = 0) -> Int8Sizes:
    """Returns the model of what a supernet's subnets take in int8: of its largest, its smallest and random ones.

    Raises:
        InvalidInput: they cannot be quantized, or the peak of their activations is not known.
    """
    archs = sampled(supernet, seed)
    written = np.array([_written(supernet, arch) for arch in archs], dtype=np.float64)
    parts, peaks = parts_of(supernet, archs), np.asarray(peak_activation_bytes(supernet, archs), dtype=np.float64)
    errors = np.zeros_like(written)
    for held in range(SAMPLES):
        others = np.arange(SAMPLES) != held
        rates, share = fitted(parts[others], peaks[others], written[others])
        errors[held] = np.abs(np.array([parts[held] @ rates, share * peaks[held]]) / written[held] - 1)
    return Int8Sizes(*fitted(parts, peaks, written), dict(zip(INT8_SIZES, errors.mean(axis=0).tolist(), strict=True)))


def sampled(supernet: Supernet, seed: int = 0) -> list[Arch]:
    """Returns the Archs whose files are written: the largest, the smallest and random ones."""
    space, random = supernet.space, np.random.default_rng(seed)
    return [space.largest, space.smallest, *(space.sample(random) for _ in range(SAMPLES - 2))]


def fitted(parts: Floats, peaks: Floats, written: Floats) -> tuple[Floats, float]:
    """Returns the rates (4,) and the share of the peak that fit what was written, (archs, 2)."""
    scale = parts.max(axis=0)
    # Relative errors count, or the smallest subnets would not.
    relative = parts / scale / written[:, :1]
    return nnls(relative, np.ones(len(parts)))[0] / scale, float(np.median(written[:, 1] / peaks))


def parts_of(supernet: Supernet, archs: Sequence[Arch], part: Callable[[str], bool] | None = None) -> Floats:
    """Returns the numbers of weights, of vectors and of tensors, and one, (archs, 4).

    Args:
        part: whether a tensor counts, by its name; None: all.
    """
    tensors = dict(supernet.model.named_parameters())
    names = [name for name in supernet.cost_terms.tensors if name in tensors and (part is None or part(name))]
    entries = entries_of(supernet, archs, names).astype(np.float64)
    matrix = np.array([tensors[name].dim() >= 2 for name in names])
    sums = (entries[matrix].sum(axis=0), entries[~matrix].sum(axis=0), (entries > 0).sum(axis=0))
    return np.stack([*sums, np.ones(len(archs))], axis=-1)


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
        written = np.array([_written(supernet, arch, quantized=False) for arch in archs], dtype=np.float64)
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


def _written(supernet: Supernet, arch: Arch, *, quantized: bool = True) -> tuple[int, int]:
    """The bytes of a subnet's file in int8 or float32, and the most between its layers."""
    net, example = supernet.extract(arch).to("cpu").eval(), resized(supernet.inputs, arch).rows(0, 1)
    content = onnx_bytes(net, example)
    inputs = list(timing_inputs(content, arrays_of(net, example)))
    content = int8(content, inputs) if quantized else content
    return len(content), peak_bytes(content, inputs[0])
