"""Finalists of which some groups of layers compute in int8: measured so, since no sum of parts decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.precisions import int8_layers
from search.candidates.figures import LATENCY, in_int8, int8_groups
from search.candidates.mixtures import Groups
from search.candidates.search_files import TrialRow
from search.device.devices import SearchDevice
from search.device.measure_mixed import checked_runtime, measure_mixed
from search.device.measuring import Progress
from search.run.progress import say
from search.text import percent_text

if TYPE_CHECKING:
    from ofa.supernet import Supernet

Mixed = tuple[Arch, tuple[str, ...]]  # a subnet and its groups of layers in int8
# Measures subnets with some groups of layers in int8: ms of each.
MeasureMixed = Callable[[Sequence[Mixed]], Sequence[float]]


def add_mixed(measured: Mapping[Arch, dict[str, float]], rows: Sequence[TrialRow], measure_mixed: MeasureMixed) -> None:
    """Adds the times of candidates of which some groups of layers compute in int8, where they are not known."""
    parted = {(row.arch, groups): None for row in rows if row.arch and (groups := int8_groups(row.settings))}
    new = [pair for pair in parted if in_int8(LATENCY, pair[1]) not in measured[pair[0]]]
    for (arch, groups), ms in zip(new, measure_mixed(new) if new else (), strict=True):
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
