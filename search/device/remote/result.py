"""Results from another machine: profile.json of a bundle's script, checked before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta, structs

from ofa.errors import InvalidInput, is_number
from ofa.records import Count, Fraction, Object, Positive, Record, Text, read_record
from search.device.measuring import measurement_of, parted
from search.device.profile_record import BundleDigest, DeviceFacts, MachineFacts
from search.device.remote.bundle import SCRIPT
from search.device.remote.manifest import BundledNetwork, BundleManifest
from search.device.standalone.rounds import Round, RoundRules
from search.device.standalone.script import RESULT_KIND, RESULT_VERSION
from search.device.timing import Measurement

LONGEST_TEXT, LONGEST_LIST, LARGEST_NUMBER = 200, 64, 1e18
AGAIN = "copy it from the device again"


Seconds = Annotated[float, Meta(ge=0, le=1e5)]  # no network takes a day
TwoTimes = Annotated[list[Seconds], Meta(min_length=2, max_length=2)]  # by the wall, by the process


class DeviceMeasurement(Record, frozen=True, kw_only=True):
    """The file that the script of a bundle writes.

    Attributes:
        runtime: its description of itself on the device, checked by `runtime_in`.
        refused: the numbers of networks without times.
        seconds: how long the measurement took.
        rounds: seconds by the wall clock and by the process's clock, of every network.
        celsius: temperatures, None without a sensor.
        interrupted: fraction of each round in which other processes had the processor.
    """

    KIND: ClassVar[str] = RESULT_KIND
    VERSION: ClassVar[int] = RESULT_VERSION
    REMEDY: ClassVar[str] = f"take the profile.json that {SCRIPT} wrote on the device, copied from there again"

    bundle: BundleDigest
    machine: MachineFacts
    runtime: Object
    refused: list[Count]
    seconds: Positive
    rounds: list[list[TwoTimes]]
    celsius: tuple[float | None, ...] = ()
    interrupted: list[Fraction | None] | None = None
    date_utc: Text = ""


def read_result(path: Path) -> DeviceMeasurement:
    """Returns the result of a bundle's script; whether it fits its bundle is not checked yet.

    Raises:
        InvalidInput: the file is missing, too large, damaged, edited or of another kind.
    """
    if not path.is_file():
        raise InvalidInput(f"{path} is no file: import={path} takes the profile.json that {SCRIPT} wrote on the device")
    return read_record(path, DeviceMeasurement)


def measurement_in(result: DeviceMeasurement, manifest: BundleManifest, source: str) -> Measurement:
    """Returns the Measurement of a result, as if it had been made here; its pieces are the parts in order.

    Args:
        manifest: the manifest of the measured bundle.
        source: the file's name, for messages.

    Raises:
        InvalidInput: invalid times, the wrong number of them, or too few rounds.
    """
    networks, subnets = len(manifest.networks), len(manifest.archs)
    refused = _refused(result.refused, manifest.networks, range(subnets, networks - 1), source)
    loaded = [number for number in range(networks) if number not in refused]
    rules = RoundRules(**structs.asdict(manifest.protocol), judged=subnets)
    rows = result.rounds
    if len(rows) < rules.least:
        raise InvalidInput(
            f"{source} holds {len(rows)} rounds, and it takes {rules.least}: run python3 {SCRIPT} again in the same "
            f"folder on the device, which resumes where it stopped"
        )
    if len(rows) > 2 * rules.visits:
        raise InvalidInput(f"{source} holds {len(rows)} rounds, and {SCRIPT} makes {2 * rules.visits} at most")
    for number, row in enumerate(rows):
        _check_row(row, len(loaded), rules.column, f"{source}: rounds[{number}]")
    interrupted = result.interrupted or [None] * len(rows)
    if len(interrupted) != len(rows):
        raise InvalidInput(f"{source}: interrupted has {len(interrupted)} fractions for {len(rows)} rounds: {AGAIN}")
    rounds = [Round(row, result.seconds, interrupted=share) for row, share in zip(rows, interrupted, strict=True)]
    positions = {number: index for index, number in enumerate(loaded)}
    return parted(
        measurement_of(rounds, rules, rules.clock),
        subnets,
        [positions.get(number) for number in range(subnets, networks - 1)],
    )


def machine_in(result: DeviceMeasurement, name: str) -> DeviceFacts:
    """Returns the facts about the other machine, with the device's name and the temperatures at start and end."""
    start, end = (result.celsius[0], result.celsius[-1]) if result.celsius else (None, None)
    return DeviceFacts(**structs.asdict(result.machine), name=name, temperature_start_c=start, temperature_end_c=end)


def runtime_in(result: DeviceMeasurement, manifest: BundleManifest, source: str) -> Object:
    """Returns the runtime's description of itself on the device.

    Raises:
        InvalidInput: it is not the runtime that the bundle names, or has other options.
    """
    runtime, options = result.runtime, manifest.options
    expected = {"name": manifest.loader, **options}
    reported = {key: runtime.get(key) for key in expected}
    if reported != expected or not isinstance(runtime.get("version"), str):
        raise InvalidInput(f"{source}: runtime {runtime!r:.120} is not the one of its bundle, {expected}")
    description = {"name": expected["name"], "version": runtime["version"], **options}
    _check_plain(description, f"{source}: runtime")
    return description


def _refused(listed: Sequence[int], networks: Sequence[BundledNetwork], parts: Sequence[int], source: str) -> set[int]:
    unwritten = {number for number, network in enumerate(networks) if network.files is None}
    if not all(number in parts for number in listed) or not unwritten <= set(listed):
        raise InvalidInput(f"{source}: refused = {listed!r:.60} must list the blocks and probes without times: {AGAIN}")
    return set(listed)


def _check_row(row: Sequence[Sequence[float]], count: int, column: int, name: str) -> None:
    if len(row) != count:
        raise InvalidInput(f"{name} has {len(row)} networks, and its bundle has {count}: it is damaged")
    for index, pair in enumerate(row):
        # A coarse process clock may read 0, the clock that counts may not.
        if pair[0] == 0 or pair[column] == 0:
            raise InvalidInput(f"{name}[{index}] = {pair!r:.60} must be two times in seconds above 0")


def _check_plain(values: Object, name: str) -> None:
    for key, value in values.items():
        items = value if isinstance(value, list) else [value]
        short = all(_is_number(item) or isinstance(item, bool) or _is_short(item) for item in items)
        if len(items) > LONGEST_LIST or not short:
            raise InvalidInput(f"{name}.{key} = {value!r:.60} must be short text or a number")


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _is_number(value: Any) -> bool:
    return is_number(value) and abs(value) < LARGEST_NUMBER
