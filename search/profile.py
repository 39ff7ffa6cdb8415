"""The profile stage: measure some subnets on a device, fit the latency model, write the profile."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ofa.arch import Arch
from ofa.cost import cost
from ofa.errors import InvalidInput
from search.device.alignment import Alignment, advise, probe_networks
from search.device.anchors import choose_anchors
from search.device.block_table import BlockTable
from search.device.clock import clock_named
from search.device.features import features_of
from search.device.fit import LEAST_NETWORKS, fit_latency_model
from search.device.machine import describe_machine
from search.device.measure import Progress, measure
from search.device.pieces import choose_pieces, from_entries, to_entries
from search.device.profile_file import Anchor, Profile
from search.device.runtime import Runtime
from search.device.sentinel import SENTINEL_NAME
from search.device.standalone.rounds import WARM_RUNS
from search.device.timing import QUANTILE, REJECTED_ABOVE, Floats, Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def profile_device(
    supernet: Supernet,
    runtime: Runtime,
    *,
    path: Path | None = None,
    anchors: int = 30,
    blocks: int = 120,
    alignment: bool = True,
    visits: int = 40,
    repeats: int = 8,
    seconds: float = 25.0,
    seed: int = 0,
    clock: str = "wall",
    name: str | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Returns the profile of this machine under `runtime`, and writes it to `path` where one is given.

    Args:
        anchors: how many subnets are measured, the smallest and the largest among them.
        blocks: how many of their blocks, at most, are measured alone as well; 0 for none.
        alignment: whether it is probed which multiples of channels the runtime likes.
        visits, repeats, seconds, progress: as `search.device.measure.measure`.
        clock: "wall", or "cpu" for runtimes that compute on one thread of this process.
        name: the device's name; the processor's where none is given.

    Raises:
        InvalidInput: an unknown clock, a runtime that refuses the network, too few distinct subnets, or a machine so
            busy that odd and even rounds disagree by more than 15 %.
    """
    chosen_clock = clock_named(clock)
    if anchors < LEAST_NETWORKS:
        raise InvalidInput(f"anchors={anchors} must be at least {LEAST_NETWORKS} to fit a latency model")

    def macs(archs: Sequence[Arch]) -> Floats:
        return cost(supernet, archs)["macs"].astype(float)

    archs = choose_anchors(supernet.space, macs, anchors, seed)
    example = supernet.example_input[:1]
    nets = [supernet.extract(arch).eval() for arch in archs]
    pieces = choose_pieces(supernet, archs, blocks, seed)
    probes = probe_networks() if alignment else []
    measured = measure(
        nets,
        example,
        runtime,
        visits=visits,
        repeats=repeats,
        seconds=seconds,
        seed=seed,
        clock=chosen_clock,
        progress=progress,
        pieces=[
            *((piece.net, piece.example_input) for piece, _ in pieces),
            *((net, probe_input) for _, net, probe_input in probes),
        ],
    )
    if measured.verdict == "reject":
        raise InvalidInput(_rejected(measured.disagreement))
    entries = to_entries(supernet, pieces, measured.pieces[: len(pieces)])
    table = BlockTable(supernet, from_entries(supernet, entries)) if entries else None
    costs = features_of(supernet, table, archs)
    model = fit_latency_model(costs, measured.ms, seed=seed)
    profile = Profile(
        device=describe_machine(name),
        runtime=runtime.describe(),
        protocol={
            "clock": measured.clock,
            "warm_runs": WARM_RUNS,
            "repeats": repeats,
            "visits": measured.sentinel.visits,
            "visit": "fastest run",
            "quantile": QUANTILE,
            "interleaved": True,
            "seed": seed,
            "input_shape": list(example.shape),
            "sentinel": SENTINEL_NAME,
            "seconds": round(measured.seconds, 3),
            "versions": {"torch": torch.__version__, "ofa-search": tool_version()},
            "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        space=supernet.space.digest,
        anchors=tuple(
            Anchor(arch, timing, {name: float(values[index]) for name, values in costs.items()})
            for index, (arch, timing) in enumerate(zip(archs, measured.timings, strict=True))
        ),
        sentinel=measured.sentinel,
        model=model,
        quality={
            "verdict": measured.verdict,
            "disagreement": measured.disagreement,
            "drift": measured.drift,
            "better_than_macs": model.held_out.mape < model.macs_only.mape,
        },
        blocks=entries,
        alignment=_alignment([width for width, _, _ in probes], measured.pieces[len(pieces) :]),
    )
    if path is not None:
        profile.write(path)
    return profile


def _alignment(widths: Sequence[int], timings: Sequence[Timing | None]) -> Alignment | None:
    """What the probes say; None where there are none, or the runtime refused one."""
    ms = [timing.ms for timing in timings if timing is not None]
    return advise(widths, ms) if ms and len(ms) == len(widths) else None


def _rejected(disagreement: float) -> str:
    return (
        f"the measurement is rejected: odd and even rounds disagree by {disagreement:.0%}, and {REJECTED_ABOVE:.0%} is "
        f"the most; stop what else runs on this machine, or read the processor's time: device.profile.clock=cpu"
    )


def tool_version() -> str:
    """Returns this toolkit's version, "unknown" in a tree that was not installed."""
    try:
        return importlib.metadata.version("ofa-search")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
