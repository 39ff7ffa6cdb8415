"""Peak activation memory: of many Archs at once in closed form, and of one network by running it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from ofa.arch import Arch
from ofa.inputs import Example, as_inputs
from ofa.memory.tape import Bytes, record
from ofa.memory.terms import Dimension, MemoryTerms
from ofa.space import GIVEN

if TYPE_CHECKING:
    from ofa.supernet import Supernet

_ROWS = 4096  # Archs at once: some tens of megabytes


def peak_activation_bytes(supernet: Supernet, archs: Sequence[Arch]) -> Bytes:
    """Returns the peak activation memory of each Arch for one example, in bytes, as an int64 array (archs,).

    The peak is the most bytes of activations that are alive at the same moment when `supernet.extract(arch)` runs in
    PyTorch, op by op, in eval mode without gradients, on one example:

    - Activations are the input and every storage that an op makes during the run. Parameters, buffers and constants
      (`torch.tensor(...)` in a forward) do not count; a weight that the forward computes does.
    - While an op runs its inputs and outputs are alive, and so is everything else that the model still holds: a
      storage dies when the last variable, list or running call that refers to it is gone. A module's input lives
      until the module returns, hence the network's to the end.
    - Storages count, not tensors: a view or an in-place result adds nothing, an element of float64 counts 8.
    - Ops are those that torch's dispatcher sees (the indices of a max pool are an output). Workspace that a kernel
      takes and gives back, the allocator's rounding and the runtime itself are not counted.

    The first call for a supernet runs its model at batch 1 on the CPU, once for every width, and some Archs to compare
    op for op; the result is kept, for each operator and resolution. Later calls run nothing. Kernel sizes count where
    they change a size, and the example is at the Arch's resolution.

    Raises:
        InvalidInput: the ops change from Arch to Arch, a size is not a sum of widths, or the model fails at batch 1.

    On microcontrollers this peak, and not the number of parameters, is what decides whether a network runs at all,
    since activations must fit in the SRAM. Source: Lin et al. 2020 (MCUNet), 2007.10319.
    """
    peaks = np.zeros(len(archs), dtype=np.int64)
    by_given: dict[tuple[tuple[str, int], ...], list[int]] = {}
    for number, arch in enumerate(archs):
        given = tuple((key, value) for key, value in arch.values.items() if key.partition(".")[0] in GIVEN)
        by_given.setdefault(given, []).append(number)
    for given, numbers in by_given.items():
        terms = supernet.memory_terms(dict(given))
        table = terms.space.encode([archs[number] for number in numbers])
        for start in range(0, len(table), _ROWS):
            peaks[numbers[start : start + _ROWS]] = _peaks(terms, table[start : start + _ROWS])
    return peaks


def measure_peak_activation_bytes(net: nn.Module, example_input: Example) -> int:
    """Returns the peak activation memory of one network in bytes, defined as in `peak_activation_bytes`, from a run.

    The first example of `example_input`, a tensor (N, ...) or as `Supernet` takes it, is run on its own device;
    `net` is unchanged afterwards.

    Raises:
        InvalidInput: the net does not run on one example.
    """
    return int(record(net, as_inputs(example_input)).bytes_by_step().max())


def _peaks(terms: MemoryTerms, table: Bytes) -> Bytes:
    """Returns the peaks of encoded Archs (archs, choices)."""
    columns = {choice.key: table[:, i] for i, choice in enumerate(terms.space.choices)}
    units = [columns[variable.choice.key] // variable.unit_size for variable in terms.variables]
    dimensions: dict[Dimension, Bytes] = {}

    def values(dimension: Dimension) -> Bytes:
        if dimension not in dimensions:
            total = np.full(len(table), dimension.constant, dtype=np.int64)
            for number, coefficient in dimension.parts:
                total += units[number] * coefficient
            dimensions[dimension] = total
        return dimensions[dimension]

    # float64 multiplies matrices many times faster than int64, and is exact below 2^53 bytes, nine petabytes.
    sizes = np.ones((len(table), len(terms.sizes)))
    for number, size in enumerate(terms.sizes):
        for dimension in size:
            sizes[:, number] *= values(dimension)
    counts = np.zeros((len(terms.sizes), len(terms.moments)))
    for i, moment in enumerate(terms.moments):
        for number, count in moment.counts:
            counts[number, i] = count
    bytes_alive = sizes @ counts
    depths = np.array([columns[key] for key in terms.stages]).reshape(len(terms.stages), len(table))
    spans: dict[tuple[tuple[int, ...], tuple[int, ...]], list[int]] = {}
    for i, moment in enumerate(terms.moments):
        spans.setdefault((moment.least, moment.most), []).append(i)
    peaks = np.zeros(len(table))
    for (least, most), indices in spans.items():
        low, high = np.array(least).reshape(-1, 1), np.array(most).reshape(-1, 1)
        holds = np.all((low <= depths) & (depths <= high), axis=0)
        peaks = np.maximum(peaks, np.where(holds, bytes_alive[:, indices].max(axis=1), 0))
    return peaks.astype(np.int64)
