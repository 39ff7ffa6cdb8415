"""The profile stage: measure some subnets on a device, fit the latency model, write the profile."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import Object, Part, content_of, convert
from search.device.flat import first_shape
from search.device.latency.alignment import Alignment, advise
from search.device.latency.block_table import BlockTable
from search.device.latency.fit import fit_latency_model
from search.device.latency.model import features_of
from search.device.latency.pieces import from_entries, timed
from search.device.latency.sample import SampleItems, choose_sample
from search.device.measuring import Progress, measure
from search.device.profile import Anchor, Profile
from search.device.profile_record import DeviceFacts, ProtocolFacts, QualityFacts
from search.device.runtime import Runtime
from search.device.standalone.files import RoundJournal
from search.device.standalone.machine import describe_machine
from search.device.standalone.rounds import WARM_RUNS
from search.device.timing import QUANTILE, REJECTED_ABOVE, SENTINEL_NAME, Measurement, Timing, clock_named
from search.device.workload import USUAL, Workload
from search.run.progress import say

if TYPE_CHECKING:
    from ofa.supernet import Supernet

ATTEMPTS = 3  # a minute in which something else runs must not end a night's work


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
    batch: int = 1,
    sequence: int | None = None,
    decode: bool = False,
    progress: Progress | None = None,
) -> Profile:
    """Returns the profile of this machine under `runtime`, and writes it to `path` if one is given.

    Until then every round is kept in a file beside `path`: after an interruption, the same call resumes from it.
    A measurement that is rejected, since the machine was busy, is made again, up to three times in all.

    Args:
        anchors: how many subnets are measured, the smallest and the largest among them.
        blocks: how many of their blocks, at most, are measured alone as well; 0 for none.
        alignment: whether to probe which multiples of channels suit the runtime.
        visits, repeats, seconds, progress: as in `search.device.measuring.measure`.
        clock: "wall", or "cpu" for runtimes that compute on one thread of this process.
        name: the device's name; the processor's where None.
        batch, sequence, decode: what a run computes, see `search.device.workload.Workload`.

    Raises:
        InvalidInput: an unknown clock, a runtime that refuses the network, too few distinct subnets, or a machine so
            busy that odd and even rounds disagree by more than 15 % each time.
    """
    chosen_clock = clock_named(clock)
    workload = Workload(batch=batch, sequence=sequence, decode=decode)
    sample = choose_sample(supernet, anchors=anchors, blocks=blocks, alignment=alignment, seed=seed, workload=workload)
    device = convert(describe_machine(name), DeviceFacts, "this machine")
    described = runtime.describe()
    decides = [supernet.space.digest, sample.items, workload, device, described, chosen_clock.name, repeats, seed]
    journal = None if path is None else _journal(path, decides)
    for attempt in range(1, ATTEMPTS + 1):
        measured = measure(
            sample.nets,
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
        if measured.verdict != "reject" or attempt == ATTEMPTS:
            break
        if journal is not None:
            journal.remove()  # resuming from rejected rounds would reject them again
        say(
            f"profile: this machine is busy: odd and even rounds disagree by {measured.disagreement:.0%}, and "
            f"{REJECTED_ABOVE:.0%} is the most; measuring again ({attempt + 1} of {ATTEMPTS})"
        )
    try:
        profile = profile_of(
            supernet,
            sample.items,
            measured,
            device=device,
            runtime=described,
            repeats=repeats,
            seed=seed,
            workload=workload,
        )
    except InvalidInput:
        if journal is not None:
            journal.remove()
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
    device: DeviceFacts,
    runtime: Object,
    repeats: int,
    seed: int,
    bundle: str | None = None,
    workload: Workload = USUAL,
) -> Profile:
    """Returns the profile made from a measurement, on this machine or another.

    Args:
        measured: the measurement of the subnets, with the other items as its pieces.
        device, runtime: their descriptions of themselves.
        repeats: runs per visit.
        seed: of the order of visits, and of the fit.
        bundle: the digest of the measured bundle, for another machine.
        workload: what each run computed.

    Raises:
        InvalidInput: the measurement is rejected, or names blocks that this supernet does not have.
    """
    if measured.verdict == "reject":
        raise InvalidInput(_rejected(measured))
    entries = timed(items.pieces, measured.pieces[: len(items.pieces)])
    table = BlockTable(supernet, from_entries(supernet, entries)) if entries else None
    costs = features_of(supernet, table, items.archs)
    model = fit_latency_model(costs, measured.ms, seed=seed)
    return Profile(
        device=device,
        runtime=runtime,
        protocol=ProtocolFacts(
            clock=measured.clock,
            warm_runs=WARM_RUNS,
            repeats=repeats,
            visits=measured.sentinel.visits,
            visit="fastest run",
            quantile=QUANTILE,
            interleaved=True,
            input_shape=first_shape(workload.inputs(supernet.inputs)),
            workload=workload,
            sentinel=SENTINEL_NAME,
            seconds=round(measured.seconds, 3),
            versions={"torch": str(torch.__version__), "ofa-search": tool_version()},
            date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            seed=seed,
            remote=bundle is not None,
            bundle=bundle,
        ),
        space=supernet.space.digest,
        anchors=tuple(
            Anchor(arch, timing, {name: float(values[index]) for name, values in costs.items()})
            for index, (arch, timing) in enumerate(zip(items.archs, measured.timings, strict=True))
        ),
        sentinel=measured.sentinel,
        model=model,
        quality=QualityFacts(
            verdict=measured.verdict,
            disagreement=measured.disagreement,
            drift=measured.drift,
            interrupted=measured.interrupted,
            better_than_macs=model.held_out.mape < model.macs_only.mape,
        ),
        blocks=entries,
        alignment=_alignment(items.widths, measured.pieces[len(items.pieces) :]),
    )


def _journal(path: Path, decides: Sequence[Any]) -> RoundJournal:
    """The journal of rounds beside a profile; another measurement has another digest."""
    text = json.dumps(decides, sort_keys=True, default=_plain)
    return RoundJournal(path.with_name(f"{path.name}.rounds.jsonl"), hashlib.sha256(text.encode()).hexdigest()[:16])


def _plain(value: Any) -> Any:
    if isinstance(value, Part):
        return content_of(value)
    return value.to_dict() if isinstance(value, Arch) else vars(value)


def _alignment(widths: Sequence[int], timings: Sequence[Timing | None]) -> Alignment | None:
    """The alignment from the probes; None without probes, or if the runtime refused one."""
    ms = [timing.ms for timing in timings if timing is not None]
    return advise(widths, ms) if ms and len(ms) == len(widths) else None


def _rejected(measured: Measurement) -> str:
    longer = "measure for longer: device.profile.seconds=120"
    other = longer if measured.clock == "cpu" else "read the processor's time: device.profile.clock=cpu"
    return (
        f"the measurement is rejected: odd and even rounds disagree by {measured.disagreement:.0%}, and "
        f"{REJECTED_ABOVE:.0%} is the most; stop what else runs on this machine, or {other}"
    )


def tool_version() -> str:
    """Returns this toolkit's version, "unknown" in a source tree that is not installed."""
    try:
        return importlib.metadata.version("ofa-search")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
