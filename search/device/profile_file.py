"""Profile: what one device and runtime measured of one space, and the latency model of it; a JSON file."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np

from ofa.arch import Arch
from ofa.cost import cost
from ofa.errors import InvalidInput
from ofa.paths import read_json, write_json
from search.device.alignment import Alignment
from search.device.block_table import BlockTable
from search.device.features import features_of
from search.device.latency_model import Costs, LatencyModel, numbers
from search.device.pieces import from_entries
from search.device.timing import Floats, Timing

if TYPE_CHECKING:
    from ofa.supernet import Supernet

SCHEMA = 2  # 1 had no timed blocks; it is still read
SAMPLE, FINALIST = "sample", "finalist"
ORIGINS = (SAMPLE, FINALIST)


@dataclass(frozen=True)
class Anchor:
    """A measured subnet: its Arch, its Timing, and the features that the latency model saw.

    `origin` is "sample", or "finalist" for what a search found and measured later.
    """

    arch: Arch
    timing: Timing
    costs: Mapping[str, float]
    origin: str = "sample"

    @property
    def ms(self) -> float:
        """What it took, in ms."""
        return self.timing.ms


@dataclass(frozen=True)
class Profile:
    """One device and runtime, measured on one space at one input shape; predicts ms from costs."""

    device: Mapping[str, Any]  # name, cpu_model, cores ...
    runtime: Mapping[str, Any]  # name, version, threads ...
    protocol: Mapping[str, Any]  # clock, visits, repeats, quantile, seed, input_shape, date_utc ...
    space: str  # digest of the Space
    anchors: tuple[Anchor, ...]
    sentinel: Timing
    model: LatencyModel
    quality: Mapping[str, Any]  # verdict, disagreement, drift, better_than_macs
    blocks: tuple[Mapping[str, Any], ...] = ()  # timings of single blocks: see `search.device.pieces`
    alignment: Alignment | None = None  # which widths the runtime likes, None where that was not probed
    _tables: WeakKeyDictionary[Supernet, BlockTable] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False, compare=False
    )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_tables": None}  # of this process alone: workers make their own

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _tables=WeakKeyDictionary())

    @property
    def name(self) -> str:
        """The device's name."""
        return str(self.device["name"])

    @property
    def held_out_error(self) -> float:
        """Mean absolute relative error of predictions on networks left out of the fit, a fraction."""
        return self.model.held_out_error

    @property
    def digest(self) -> str:
        """16 hex digits of what was profiled: finalists that searches add, and fits with them, do not change it."""
        content = self.to_dict()
        content["anchors"] = [anchor for anchor in content["anchors"] if anchor["origin"] == SAMPLE]
        lasting = {key: value for key, value in content.items() if key not in ("fit", "quality", "schema")}
        return hashlib.sha256(json.dumps(lasting, sort_keys=True).encode()).hexdigest()[:16]

    def predict(self, costs: Costs) -> Floats:
        """Returns ms (N,) at batch 1 for features (N,) by name, as `search.device.features` gives them."""
        return self.model.predict(costs)

    def predict_archs(self, supernet: Supernet, archs: Sequence[Arch]) -> Floats:
        """Returns ms (N,) at batch 1 for Archs of the supernet that the profile was made of."""
        return self.predict(features_of(supernet, self.table(supernet), archs))

    def table(self, supernet: Supernet) -> BlockTable | None:
        """Returns the times of the supernet's blocks, None where no block was timed; made once."""
        if not self.blocks:
            return None
        if supernet not in self._tables:
            self._tables[supernet] = BlockTable(supernet, from_entries(supernet, self.blocks))
        return self._tables[supernet]

    def check(self, supernet: Supernet, source: str = "the profile") -> None:
        """Checks that the profile is of this space, input shape and layers; weights may differ.

        Raises:
            InvalidInput: naming `source` and what differs.
        """
        remedy = "profile this supernet again"
        if self.space != supernet.space.digest:
            raise InvalidInput(f"{source} is of another space ({self.space}, not {supernet.space.digest}): {remedy}")
        shape = list(supernet.example_input.shape[1:])
        if list(self.protocol["input_shape"][1:]) != shape:
            raise InvalidInput(f"{source} is of inputs {self.protocol['input_shape'][1:]}, not {shape}: {remedy}")
        now = cost(supernet, [anchor.arch for anchor in self.anchors])
        then = [anchor.costs["macs"] for anchor in self.anchors]
        if not np.allclose(now["macs"], then):
            raise InvalidInput(f"{source} is of a model with the same choices and other layers (MACs differ): {remedy}")

    def to_dict(self) -> dict[str, Any]:
        """The profile as JSON-able values."""
        return {
            "schema": SCHEMA,
            "device": dict(self.device),
            "runtime": dict(self.runtime),
            "protocol": dict(self.protocol),
            "space": {"digest": self.space},
            "blocks": [dict(block) for block in self.blocks],
            **({"alignment": self.alignment.to_dict()} if self.alignment else {}),
            "anchors": [
                {
                    "arch": anchor.arch.to_dict(),
                    **anchor.timing.to_dict(),
                    "costs": dict(anchor.costs),
                    "origin": anchor.origin,
                }
                for anchor in self.anchors
            ],
            "sentinel": self.sentinel.to_dict(),
            "fit": self.model.to_dict(),
            "quality": dict(self.quality),
        }

    def write(self, path: Path) -> None:
        """Writes the profile to `path`, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def from_dict(cls, value: Any) -> Profile:
        """Returns the profile that `to_dict` wrote.

        Raises:
            InvalidInput: a newer schema, or a field that is missing or wrong.
        """
        content = _object(value, "profile")
        schema = content.get("schema")
        if isinstance(schema, bool) or not isinstance(schema, int) or schema < 1:
            raise InvalidInput(f"schema = {schema!r} is not a profile's")
        if schema > SCHEMA:
            raise InvalidInput(f"schema {schema} is newer than {SCHEMA}, the newest that this version reads")
        device, protocol = (
            _object(content.get("device"), "device"),
            _object(content.get("protocol"), "protocol"),
        )
        digest = _object(content.get("space"), "space").get("digest")
        if not isinstance(device.get("name"), str) or not isinstance(digest, str):
            raise InvalidInput("device.name and space.digest must be text")
        shape = protocol.get("input_shape")
        if not isinstance(shape, list) or not shape or not all(isinstance(size, int) for size in shape):
            raise InvalidInput(f"protocol.input_shape = {shape!r} must be a list of whole numbers")
        anchors = [_anchor(item, index) for index, item in enumerate(_list(content.get("anchors"), "anchors"))]
        if not anchors:
            raise InvalidInput("anchors is empty: nothing was measured")
        return cls(
            device=device,
            runtime=_object(content.get("runtime"), "runtime"),
            protocol=protocol,
            space=digest,
            anchors=tuple(anchors),
            sentinel=_timing(_object(content.get("sentinel"), "sentinel"), "sentinel"),
            model=LatencyModel.from_dict(content.get("fit")),
            quality=_object(content.get("quality"), "quality"),
            blocks=tuple(_block(block, index) for index, block in enumerate(_list(content.get("blocks"), "blocks"))),
            alignment=Alignment.from_dict(content["alignment"]) if "alignment" in content else None,
        )


def read_profile(path: Path, supernet: Supernet | None = None) -> Profile:
    """Returns the profile in `path`, checked against `supernet` where one is given.

    Raises:
        InvalidInput: naming the file: missing, damaged, newer than this reader, or of another space.
    """
    content = read_json(path)
    try:
        profile = Profile.from_dict(content)
    except InvalidInput as error:
        raise InvalidInput(f"{path} is not a usable profile: {error}") from None
    if supernet is not None:
        profile.check(supernet, str(path))
    return profile


def _anchor(value: Any, index: int) -> Anchor:
    name = f"anchors[{index}]"
    content = _object(value, name)
    try:
        arch = Arch.from_dict(content.get("arch"))
    except InvalidInput as error:
        raise InvalidInput(f"{name}.arch: {error}") from None
    costs = numbers(content.get("costs"), f"{name}.costs")
    if "macs" not in costs:
        raise InvalidInput(f"{name}.costs must have macs")
    origin = content.get("origin", SAMPLE)
    if origin not in ORIGINS:
        raise InvalidInput(f"{name}.origin = {origin!r} must be one of {', '.join(ORIGINS)}")
    return Anchor(arch, _timing(content, name), costs, origin)


def _block(value: Any, index: int) -> dict[str, Any]:
    name = f"blocks[{index}]"
    content = _object(value, name)
    _timing(content, name)
    for place in _list(content.get("places"), f"{name}.places"):
        if not isinstance(_object(place, f"{name}.places").get("block"), str):
            raise InvalidInput(f"{name}.places: block must be text")
        numbers(place.get("choices"), f"{name}.places.choices")
    return content


def _timing(content: Mapping[str, Any], name: str) -> Timing:
    # Profiles of before the process's clock was read have no cpu_ms.
    fields = {key: content.get(key) for key in Timing.__dataclass_fields__ if key != "cpu_ms" or key in content}
    for key, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise InvalidInput(f"{name}.{key} = {value!r} must be a number")
        if value < 0 or (value == 0 and key != "spread_ms"):
            raise InvalidInput(f"{name}.{key} = {value!r} must be positive")
    return Timing(**fields)  # type: ignore[arg-type]


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidInput(f"{name} must be a JSON object, not {value!r:.60}")
    return value


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise InvalidInput(f"{name} must be a JSON list, not {value!r:.60}")
    return value
