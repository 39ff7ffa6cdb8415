"""Profile: the measurements of one space on one device and runtime, and their latency model; a JSON file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from msgspec import structs

from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import Object, content_of, read_record, write_record
from search.device.flat import first_shape
from search.device.latency.alignment import Alignment
from search.device.latency.block_table import BlockTable
from search.device.latency.model import Costs, LatencyModel, features_of
from search.device.latency.pieces import PieceTiming, from_entries
from search.device.profile_record import (
    AnchorRecord,
    DeviceFacts,
    ProfileRecord,
    ProtocolFacts,
    QualityFacts,
    SpaceFacts,
)
from search.device.timing import Floats, Timing
from search.device.workload import Workload

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SAMPLE: Literal["sample"] = "sample"
FINALIST: Literal["finalist"] = "finalist"


@dataclass(frozen=True)
class Anchor:
    """A measured subnet: its Arch, its Timing, and the features that the latency model was fitted to.

    `origin` is "sample", or "finalist" for a subnet that a search chose and measured later.
    """

    arch: Arch
    timing: Timing
    costs: Mapping[str, float]
    origin: Literal["sample", "finalist"] = "sample"

    @property
    def ms(self) -> float:
        """Its latency in ms."""
        return self.timing.ms


@dataclass(frozen=True)
class Profile:
    """One device and runtime, measured on one space at one input shape; predicts ms from costs."""

    device: DeviceFacts
    runtime: Object  # name, version, threads and other facts that it reports
    protocol: ProtocolFacts
    space: str  # digest of the Space
    anchors: tuple[Anchor, ...]
    sentinel: Timing
    model: LatencyModel
    quality: QualityFacts
    blocks: tuple[PieceTiming, ...] = ()  # blocks timed alone
    alignment: Alignment | None = None  # which widths suit the runtime; None where not probed
    _tables: WeakKeyDictionary[Supernet, BlockTable] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tables": None}  # not shared between processes: workers make their own

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _tables=WeakKeyDictionary())

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device.name

    @property
    def workload(self) -> Workload:
        """What one timed run computes, and limits are of."""
        return self.protocol.workload

    @property
    def held_out_error(self) -> float:
        """Mean absolute relative error of predictions on networks left out of the fit, a fraction."""
        return self.model.held_out_error

    @property
    def digest(self) -> str:
        """16 hex digits of the profiled sample: finalists added by searches, and fits with them, do not change it."""
        record = self.record
        sample = tuple(anchor for anchor in record.anchors if anchor.origin == SAMPLE)
        content = content_of(structs.replace(record, anchors=sample))
        lasting = {key: value for key, value in content.items() if key not in ("fit", "quality")}
        return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:16]

    def predict(self, costs: Costs) -> Floats:
        """Returns ms (N,) per run of the workload for features (N,) by name (see `search.device.latency.model`)."""
        return self.model.predict(costs)

    def predict_archs(self, supernet: Supernet, archs: Sequence[Arch]) -> Floats:
        """Returns ms (N,) per run of the workload for Archs of the supernet that was profiled."""
        return self.predict(features_of(supernet, self.table(supernet), archs))

    def table(self, supernet: Supernet) -> BlockTable | None:
        """Returns the times of the supernet's blocks, None where no block was timed; computed once."""
        if not self.blocks:
            return None
        if supernet not in self._tables:
            self._tables[supernet] = BlockTable(supernet, from_entries(supernet, self.blocks))
        return self._tables[supernet]

    def check(self, supernet: Supernet, source: str = "the profile") -> None:
        """Checks that the profile is of this space, input shape and layers; the weights may differ.

        Raises:
            InvalidInput: the profile is of something else; the message names `source` and the difference.
        """
        remedy = "profile this supernet again"
        if self.space != supernet.space.digest:
            raise InvalidInput(f"{source} is of another space ({self.space}, not {supernet.space.digest}): {remedy}")
        shape = list(first_shape(self.workload.inputs(supernet.inputs))[1:])
        if (profiled := list(self.protocol.input_shape[1:])) != shape:
            raise InvalidInput(f"{source} is of inputs {profiled}, not {shape}: {remedy}")
        for index, anchor in enumerate(self.anchors):
            try:
                supernet.space.validate(anchor.arch)
            except InvalidInput as error:
                raise InvalidInput(f"{source}: anchors[{index}].arch: {error}: {remedy}") from None
        now = cost(supernet, [anchor.arch for anchor in self.anchors])
        then = [anchor.costs["macs"] for anchor in self.anchors]
        if not np.allclose(now["macs"], then):
            raise InvalidInput(f"{source} is of a model with the same choices and other layers (MACs differ): {remedy}")

    @property
    def record(self) -> ProfileRecord:
        """The profile as a record of its file."""
        return ProfileRecord(
            device=self.device,
            runtime=self.runtime,
            protocol=self.protocol,
            space=SpaceFacts(digest=self.space),
            anchors=tuple(
                AnchorRecord(
                    **structs.asdict(anchor.timing), arch=anchor.arch, costs=anchor.costs, origin=anchor.origin
                )
                for anchor in self.anchors
            ),
            sentinel=self.sentinel,
            fit=self.model.record,
            quality=self.quality,
            blocks=self.blocks,
            alignment=None if self.alignment is None else self.alignment.to_dict(),
        )

    def write(self, path: Path) -> None:
        """Writes the profile to `path`, atomically."""
        write_record(path, self.record)

    @classmethod
    def of(cls, record: ProfileRecord) -> Profile:
        """Returns the profile of a file's record.

        Raises:
            InvalidInput: an invalid alignment, or a latency model that does not belong to the anchors.
        """
        profile = cls(
            device=record.device,
            runtime=record.runtime,
            protocol=record.protocol,
            space=record.space.digest,
            anchors=tuple(
                Anchor(anchor.arch, _timing(anchor), anchor.costs, anchor.origin) for anchor in record.anchors
            ),
            sentinel=record.sentinel,
            model=LatencyModel.of(record.fit),
            quality=record.quality,
            blocks=record.blocks,
            alignment=None if record.alignment is None else Alignment.from_dict(record.alignment),
        )
        _check_fit(profile)
        return profile


def read_profile(path: Path, supernet: Supernet | None = None) -> Profile:
    """Returns the profile in `path`, checked against `supernet` if one is given.

    Raises:
        InvalidInput: the file is missing, damaged, edited, newer than this reader, or of another space.
    """
    record = read_record(path, ProfileRecord)
    try:
        profile = Profile.of(record)
    except InvalidInput as error:
        raise InvalidInput(f"{path} is not a usable profile: {error}; {ProfileRecord.REMEDY}") from None
    if supernet is not None:
        profile.check(supernet, str(path))
    return profile


def _timing(anchor: AnchorRecord) -> Timing:
    return Timing(**{name: getattr(anchor, name) for name in Timing.__struct_fields__})


def _check_fit(profile: Profile) -> None:
    """Checks that the latency model belongs to the anchors: its median relative error on them is at most 1."""
    names = profile.model.form
    if missing := [name for name in names if not all(name in anchor.costs for anchor in profile.anchors)]:
        raise InvalidInput(f"fit uses {missing[0]!r}, which anchors do not have")
    costs = {name: np.array([anchor.costs[name] for anchor in profile.anchors]) for name in {*names, "macs"}}
    with np.errstate(over="ignore", invalid="ignore"):
        predicted = profile.predict(costs)
        error = float(np.median(np.abs(predicted / [anchor.ms for anchor in profile.anchors] - 1)))
    if not np.isfinite(predicted).all() or error > 1:
        raise InvalidInput("fit does not fit the anchors: it is damaged, or of other ones")
