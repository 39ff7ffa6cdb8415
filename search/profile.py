"""The profile stage: measure some subnets on a device, fit the latency model, write the profile."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.device.alignment import Alignment, advise
from search.device.block_table import BlockTable
from search.device.clock import clock_named
from search.device.features import features_of
from search.device.fit import fit_latency_model
from search.device.measure import Progress, measure
from search.device.pieces import from_entries, timed
from search.device.profile_file import Anchor, Profile
from search.device.runtime import Runtime
from search.device.sample import SampleItems, choose_sample
from search.device.sentinel import SENTINEL_NAME
from search.device.standalone.journal import RoundJournal
from search.device.standalone.machine import describe_machine
from search.device.standalone.rounds import WARM_RUNS
from search.device.timing import QUANTILE, REJECTED_ABOVE, Measurement, Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet


def profile_device(
    supernet: Supernet,
    runtime: Runtime,
    *,
    path: Path | None = None,
    anchors: int = 30,
    blocks: int = 240,
    alignment: bool = True,
    visits: int = 40,
    repeats: int = 8,
    seconds: float = 50.0,
    seed: int = 0,
    clock: str = "wall",
    name: str | None = None,
    progress: Progress | None = None,
) -> Profile:
    """Returns the profile of this machine under `runtime`, and writes it to `path` where one is given.

    Every round is kept in a file beside `path` until then: cut off, the same call goes on where it was.

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
    sample = choose_sample(supernet, anchors=anchors, blocks=blocks, alignment=alignment, seed=seed)
    device, described = describe_machine(name), runtime.describe()
    asked = {"clock": chosen_clock.name, "repeats": repeats, "seed": seed}
    journal = None if path is None else _journal(path, [supernet.space.digest, sample.items, device, described, asked])
    measured = measure(
        sample.nets,
        supernet.example_input[:1],
        runtime,
        visits=visits,
        repeats=repeats,
        seconds=seconds,
        seed=seed,
        clock=chosen_clock,
        progress=progress,
        pieces=sample.parts,
        journal=journal,
    )
    try:
        profile = profile_of(supernet, sample.items, measured, device=device, runtime=described, asked=asked)
    except InvalidInput:
        if journal is not None:
            journal.remove()  # going on with what was rejected would reject it again
        raise
    if path is not None and journal is not None:
        profile.write(path)
        journal.remove()
    return profile


def profile_of(
    supernet: Supernet,
    items: SampleItems,
    measured: Measurement,
    *,
    device: Mapping[str, Any],
    runtime: Mapping[str, Any],
    asked: Mapping[str, Any],
) -> Profile:
    """Returns the profile that a measurement comes to, wherever it was made.

    Args:
        measured: of the subnets, with the other items as its pieces.
        device, runtime: what they say of themselves; the device has a name.
        asked: of the protocol: clock, repeats, seed, and what else is to be kept.

    Raises:
        InvalidInput: the measurement is rejected, or names blocks that this supernet does not have.
    """
    if measured.verdict == "reject":
        raise InvalidInput(_rejected(measured.disagreement))
    seed = int(asked["seed"])
    entries = timed(items.pieces, measured.pieces[: len(items.pieces)])
    table = BlockTable(supernet, from_entries(supernet, entries)) if entries else None
    costs = features_of(supernet, table, items.archs)
    model = fit_latency_model(costs, measured.ms, seed=seed)
    return Profile(
        device=device,
        runtime=runtime,
        protocol={
            "clock": measured.clock,
            "warm_runs": WARM_RUNS,
            "repeats": asked["repeats"],
            "visits": measured.sentinel.visits,
            "visit": "fastest run",
            "quantile": QUANTILE,
            "interleaved": True,
            "input_shape": list(supernet.example_input[:1].shape),
            "sentinel": SENTINEL_NAME,
            "seconds": round(measured.seconds, 3),
            "versions": {"torch": torch.__version__, "ofa-search": tool_version()},
            "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
            **asked,
        },
        space=supernet.space.digest,
        anchors=tuple(
            Anchor(arch, timing, {name: float(values[index]) for name, values in costs.items()})
            for index, (arch, timing) in enumerate(zip(items.archs, measured.timings, strict=True))
        ),
        sentinel=measured.sentinel,
        model=model,
        quality={
            "verdict": measured.verdict,
            "disagreement": measured.disagreement,
            "drift": measured.drift,
            **({} if measured.interrupted is None else {"interrupted": measured.interrupted}),
            "better_than_macs": model.held_out.mape < model.macs_only.mape,
        },
        blocks=entries,
        alignment=_alignment(items.widths, measured.pieces[len(items.pieces) :]),
    )


def _journal(path: Path, decides: Sequence[Any]) -> RoundJournal:
    """The rounds beside a profile; those of another measurement have another digest."""
    text = json.dumps(decides, sort_keys=True, default=_plain)
    return RoundJournal(path.with_name(f"{path.name}.rounds.jsonl"), hashlib.sha256(text.encode()).hexdigest()[:16])


def _plain(value: Any) -> Any:
    return value.to_dict() if isinstance(value, Arch) else vars(value)


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
