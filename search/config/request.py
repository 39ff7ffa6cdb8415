"""Request: the keys that verbs share: the run, its folder, its seed; and its device and how that is profiled."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from ofa.errors import InvalidInput
from search.config.rules import (
    Anchors,
    Count,
    FromZero,
    Name,
    Positive,
    Processes,
    Seed,
    Target,
    Text,
    Visits,
    check_plain_name,
)
from search.run.paths import RunFolder
from search.run.trust import Trust, targets_in

S = TypeVar("S", bound=Struct)


class Request(Struct, frozen=True, kw_only=True):
    """The keys of all verbs, see conf/base.yaml.

    Attributes:
        trust: user packages that the files of a run may call.
        logger: where rows of trainings and searches go besides their own files, by name.
        force: whether a stage is redone; its new output replaces the old one once complete.
    """

    run: Name = "main"
    outputs: Name = "outputs"
    seed: Seed = 0
    threads: Processes = 1
    trust: Text | tuple[Text, ...] = ()
    logger: dict[str, Target] = msgspec.field(default_factory=dict)
    force: bool = False

    def __post_init__(self) -> None:
        if not self.run or self.run in (".", "..") or Path(self.run).name != self.run:
            raise InvalidInput(
                f"run={self.run!r} must be a plain name, such as run=main: outputs are in {self.outputs}/<run>/"
            )
        Trust(self.packages)

    @property
    def folder(self) -> RunFolder:
        """The run's folder under the root of outputs."""
        return RunFolder(Path(self.outputs) / self.run)

    @property
    def trusted(self) -> Trust:
        """The targets that the run's files may call: packages in `trust`, and the targets of this request.

        Raises:
            InvalidInput: `trust` names no packages.
        """
        return Trust(self.packages, targets_in(plain(self)))

    @property
    def packages(self) -> tuple[str, ...]:
        """The packages that `trust` names."""
        return (self.trust,) if isinstance(self.trust, str) else self.trust


def part(request: Struct, kind: type[S]) -> S:
    """Returns the part of a request that is of another kind, such as the request of a single verb, or a recipe."""
    return kind(**{name: getattr(request, name) for name in kind.__struct_fields__})


def plain(value: Struct, *names: str) -> dict[str, Any]:
    """Returns the named keys of a request (all if none are named) as dictionaries, lists and scalars."""
    values = _with_lists(msgspec.to_builtins(value))
    return {name: values[name] for name in names or values}


def without(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Returns plain values without some keys, such as those that do not change results."""
    return {key: value for key, value in values.items() if key not in names}


def run_text(run: RunFolder) -> str:
    """Returns the arguments that name a run, quoted for a shell, such as "run=tiny outputs=/data/outputs"."""
    parent = str(run.root.parent)
    outputs = [] if parent == "outputs" else [override_text("outputs", parent)]
    return shlex.join([override_text("run", run.name), *outputs])


def override_text(key: str, value: str) -> str:
    """Returns "key=value" as Hydra reads it, the value quoted where it has to be."""
    if re.fullmatch(r"[\w./@+-]+", value):
        return f"{key}={value}"
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def _with_lists(value: Any) -> Any:
    """Plain values with lists in place of tuples, as in JSON and YAML."""
    if isinstance(value, Mapping):
        return {key: _with_lists(inner) for key, inner in value.items()}
    return [_with_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


ONNXRUNTIME = "search.device.runtimes.OnnxRuntime"


def onnxruntime() -> dict[str, Any]:
    """Returns the default runtime of this machine."""
    return {"_target_": ONNXRUNTIME, "threads": 1}


def local_engine() -> dict[str, Any]:
    """Returns the engine where no other is named."""
    return {"_target_": "search.engine.local", "_partial_": True, "workers": None, "retries": 2}


def guided() -> dict[str, Any]:
    """Returns the sampler where no other is named."""
    return {
        "_target_": "search.samplers.guided",
        "_partial_": True,
        "startup_trials": 12,
        "batch": 10,
        "optimism": 1.0,
    }


class Sampling(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The measurement of a device for its profile, see conf/device/onnxruntime.yaml.

    Attributes:
        anchors: the number of subnets that are measured to fit the latency model.
        blocks: at most this many of their blocks are timed separately too.
        visits: how often every subnet is measured, in turn with the others.
        repeats: timed runs per visit.
        seconds: the most time, loading included.
        clock: wall, or cpu.
        alignment: whether to probe which multiples of channels are fast.
        batch: examples of a run.
        sequence: tokens of each; None for those of the data.
        decode: whether a run is one more token, from the cache of so many.
    """

    anchors: Anchors = 30
    blocks: FromZero = 240
    visits: Visits = 40
    repeats: Count = 8
    seconds: Positive = 50.0
    clock: Text = "wall"
    alignment: bool = True
    batch: Count = 1
    sequence: Count | None = None
    decode: bool = False


class Device(Struct, frozen=True, kw_only=True):
    """One device, see conf/device/; `remote` is True for another machine, on which this toolkit is not installed."""

    name: Text = "onnxruntime"
    remote: bool = False
    runtime: Target = msgspec.field(default_factory=onnxruntime)
    profile: Sampling = Sampling()

    def __post_init__(self) -> None:
        check_plain_name("device.name", self.name, "laptop")

    @property
    def decides(self) -> dict[str, Any]:
        """The inputs of its profile, as plain values."""
        values = plain(self, "runtime", "profile")
        return {**values, "remote": True} if self.remote else values
