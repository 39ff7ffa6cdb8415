"""Bytes of subnets in int8, of files and between layers: predicted by a model of a few that were written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls

from ofa._cost import entries_of
from ofa.arch import Arch
from ofa.peak_memory import peak_activation_bytes
from ofa.resolution import resized
from search.candidates.figures import INT8_SIZES, Figures, Floats
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


def _written(supernet: Supernet, arch: Arch) -> tuple[int, int]:
    """The bytes of a subnet's file in int8, and the most between its layers."""
    net, example = supernet.extract(arch).to("cpu").eval(), resized(supernet.inputs, arch).rows(0, 1)
    whole, given = onnx_bytes(net, example), arrays_of(net, example)
    inputs = list(timing_inputs(whole, given))
    content = int8(whole, inputs)
    return len(content), peak_bytes(content, inputs[0])
