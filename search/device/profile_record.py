"""The record types of a profile's file: every range is checked when it is written and when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from ofa.arch import Arch
from ofa.records import AtLeastOne, Count, Fraction, Hex, Name, NotNegative, Object, Part, Record, Text
from search.device.latency.model import FitRecord
from search.device.latency.pieces import PieceTiming
from search.device.timing import Timing, Verdict
from search.device.workload import Workload

Shape = Annotated[tuple[AtLeastOne, ...], Meta(min_length=1, max_length=16)]  # sizes of a tensor
BundleDigest = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
ShortText = Annotated[str, Meta(max_length=200)]


class AnchorRecord(Timing, frozen=True, kw_only=True):
    """A measured subnet: its timing, and the features that the latency model was fitted to, by name."""

    arch: Arch
    costs: Mapping[str, NotNegative]
    origin: Literal["sample", "finalist"]

    def __post_init__(self) -> None:
        if "macs" not in self.costs:
            raise ValueError("costs must have macs")


class MachineFacts(Part, frozen=True, kw_only=True, omit_defaults=True):
    """What the operating system reports about a machine; unknown facts are absent.

    Attributes:
        isa: the architecture, and the instruction sets that matter for networks.
        cores: the number of cores that the process may use.
        governor: the governor of the processor's frequency.
    """

    cpu_model: ShortText | None = None
    isa: Annotated[tuple[ShortText, ...], Meta(max_length=64)] | None = None
    cores: Count | None = None
    ram_bytes: Count | None = None
    os: ShortText | None = None
    governor: ShortText | None = None


class DeviceFacts(MachineFacts, frozen=True, kw_only=True):
    """The device: a machine with the name that its user gave it.

    Attributes:
        temperature_start_c, temperature_end_c: degrees Celsius before and after the measurement.
    """

    name: Name
    temperature_start_c: float | None = None
    temperature_end_c: float | None = None


class ProtocolFacts(Part, frozen=True, kw_only=True, omit_defaults=True):
    """How a device was measured.

    Attributes:
        clock: "wall" or "cpu".
        warm_runs: runs before the first that counts.
        repeats: runs per visit to a network; `visit` names the one that counts.
        visits: the number of visits to the sentinel.
        quantile: the quantile of the visits that is a network's latency.
        interleaved: whether networks were visited in turn.
        input_shape: including the batch.
        workload: what a run computes.
        sentinel: the name of the fixed network that was visited with the others.
        seconds: how long the measurement took.
        remote: whether it is another machine, measured by the script of a bundle.
    """

    clock: Name
    warm_runs: Count
    repeats: AtLeastOne
    visits: AtLeastOne
    visit: Text
    quantile: Fraction
    interleaved: bool
    input_shape: Shape
    sentinel: Name
    seconds: NotNegative
    versions: Mapping[str, Text]
    date_utc: Text
    seed: Count
    remote: bool = False
    bundle: BundleDigest | None = None
    workload: Workload = Workload()


class SpaceFacts(Part, frozen=True, kw_only=True):
    """The space, by its digest."""

    digest: Hex


class QualityFacts(Part, frozen=True, kw_only=True, omit_defaults=True):
    """How far to trust the figures.

    Attributes:
        disagreement: mean relative difference between odd and even rounds, a fraction.
        drift: the fraction by which the sentinel slowed from its fastest to its slowest stretch.
        interrupted: fraction of the time in which other processes had the processor; absent where unknown.
        better_than_macs: whether the latency model beats a model on multiply-accumulates alone.
    """

    verdict: Verdict
    disagreement: NotNegative
    drift: NotNegative
    interrupted: Fraction | None = None
    better_than_macs: bool


class ProfileRecord(Record, frozen=True, kw_only=True, omit_defaults=True):
    """A profile.

    Attributes:
        runtime: its description: "name", "version", "threads" and other facts that it reports.
        blocks: the blocks that were timed alone.
        alignment: which widths suit the runtime (see `search.device.latency.alignment`); absent where not probed.
    """

    KIND: ClassVar[str] = "profile"
    VERSION: ClassVar[int] = 3
    REMEDY: ClassVar[str] = "restore it, or measure again: ofa profile with force=true"

    device: DeviceFacts
    runtime: Object
    protocol: ProtocolFacts
    space: SpaceFacts
    anchors: Annotated[tuple[AnchorRecord, ...], Meta(min_length=1)]
    sentinel: Timing
    fit: FitRecord
    quality: QualityFacts
    blocks: tuple[PieceTiming, ...]
    alignment: Object | None = None
