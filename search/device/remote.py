"""What comes back from another machine: profile.json of a bundle's script, looked at before any of it is believed."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from search.device.bundle import SCRIPT
from search.device.measure import measurement_of, parted
from search.device.standalone.rounds import CLOCK_COLUMNS, Round, RoundRules
from search.device.standalone.script import RESULT_KIND, RESULT_SCHEMA
from search.device.timing import Measurement

MOST_BYTES = 64 * 2**20
LONGEST_TEXT, LONGEST_LIST = 200, 64
MACHINE_KEYS = ("cpu_model", "isa", "cores", "ram_bytes", "os", "governor")


def read_result(path: Path) -> dict[str, Any]:
    """Returns what the script of a bundle wrote, of which only `bundle`, the manifest's digest, is checked yet.

    Raises:
        InvalidInput: the file is missing, too large, damaged or something else.
    """
    if not path.is_file():
        raise InvalidInput(f"{path} is no file: import={path} takes the profile.json that {SCRIPT} wrote on the device")
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise InvalidInput(f"{path} has {size / 2**20:,.0f} MB, and a measurement has {MOST_BYTES >> 20} at most")
    try:
        content = json.loads(path.read_bytes().decode(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(f"{path} is damaged or no JSON ({reason:.100}): copy it from the device again") from None
    if not isinstance(content, dict) or content.get("kind") != RESULT_KIND:
        raise InvalidInput(f"{path} is no measurement: take the profile.json that {SCRIPT} wrote on the device")
    if content.get("schema") != RESULT_SCHEMA:
        raise InvalidInput(f"{path} has schema {content.get('schema')!r:.60}, and this version reads {RESULT_SCHEMA}")
    if not isinstance(content.get("bundle"), str) or not re.fullmatch(r"[0-9a-f]{16}", content["bundle"]):
        raise InvalidInput(f"{path} does not say which bundle it is of: copy it from the device again")
    return content


def measurement_in(content: Mapping[str, Any], manifest: Mapping[str, Any], source: str) -> Measurement:
    """Returns the Measurement that a result holds, as if it had been made here; its pieces are the parts in order.

    Args:
        manifest: of the bundle that was measured.
        source: the file's name, for messages.

    Raises:
        InvalidInput: times that are none, the wrong number of them, or too few rounds.
    """
    networks, subnets = len(manifest["networks"]), len(manifest["archs"])
    refused = _refused(content.get("refused"), range(subnets, networks - 1), source)
    loaded = [number for number in range(networks) if number not in refused]
    protocol = manifest["protocol"]
    asked = {key: protocol[key] for key in ("visits", "repeats", "seconds", "seed", "clock")}
    rules = RoundRules(**asked, judged=subnets)
    rows: Any = content.get("rounds")
    seconds: Any = content.get("seconds")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise InvalidInput(f"{source}: rounds must be a list of lists: copy it from the device again")
    if len(rows) < rules.least:
        raise InvalidInput(
            f"{source} holds {len(rows)} rounds, and it takes {rules.least}: run python3 {SCRIPT} again in the same "
            f"folder on the device, which goes on where it stopped"
        )
    if len(rows) > 2 * rules.visits:
        raise InvalidInput(f"{source} holds {len(rows)} rounds, and {SCRIPT} makes {2 * rules.visits} at most")
    if not _is_number(seconds) or seconds <= 0:
        raise InvalidInput(f"{source}: seconds = {seconds!r:.60} must be a number above 0")
    for number, row in enumerate(rows):
        _check_row(row, len(loaded), rules.column, f"{source}: rounds[{number}]")
    interrupted = content.get("interrupted", [None] * len(rows))
    if not isinstance(interrupted, list) or len(interrupted) != len(rows) or not all(map(_is_share, interrupted)):
        raise InvalidInput(f"{source}: interrupted must be a fraction for each round: copy it from the device again")
    rounds = [Round(row, float(seconds), interrupted=share) for row, share in zip(rows, interrupted, strict=True)]
    place = {number: index for index, number in enumerate(loaded)}
    return parted(
        measurement_of(rounds, rules, rules.clock),
        subnets,
        [place.get(number) for number in range(subnets, networks - 1)],
    )


def machine_in(content: Mapping[str, Any], name: str, source: str) -> dict[str, Any]:
    """Returns what the other machine is, under the device's name, with the temperatures at start and end.

    Raises:
        InvalidInput: it is not described, or by what is no short text or number.
    """
    machine = content.get("machine")
    if not isinstance(machine, dict):
        raise InvalidInput(f"{source}: machine must be a JSON object: copy it from the device again")
    found = {"name": name, **{key: machine[key] for key in MACHINE_KEYS if key in machine}}
    _check_plain(found, f"{source}: machine")
    celsius = content.get("celsius", [])
    if not isinstance(celsius, list) or not all(one is None or _is_number(one) for one in celsius):
        raise InvalidInput(f"{source}: celsius must be a list of numbers: copy it from the device again")
    ends = {"temperature_start_c": celsius[:1], "temperature_end_c": celsius[-1:]}
    return found | {key: value[0] for key, value in ends.items() if value and value[0] is not None}


def runtime_in(content: Mapping[str, Any], manifest: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Returns how the runtime describes itself there.

    Raises:
        InvalidInput: it is another one than the bundle names, or has other options.
    """
    runtime, options = content.get("runtime"), manifest["options"]
    wanted = {"name": manifest["loader"], **options}
    there = {key: runtime.get(key) for key in wanted} if isinstance(runtime, dict) else {}
    if there != wanted or not isinstance(runtime, dict) or not isinstance(runtime.get("version"), str):
        raise InvalidInput(f"{source}: runtime {runtime!r:.120} is not the one of its bundle, {wanted}")
    found = {"name": wanted["name"], "version": runtime["version"], **options}
    _check_plain(found, f"{source}: runtime")
    return found


def _refused(value: Any, parts: Sequence[int], source: str) -> set[int]:
    if not isinstance(value, list) or not all(isinstance(one, int) and one in parts for one in value):
        raise InvalidInput(f"{source}: refused = {value!r:.60} must list numbers of blocks and probes")
    return set(value)


def _check_row(row: Sequence[Any], count: int, column: int, name: str) -> None:
    if len(row) != count:
        raise InvalidInput(f"{name} has {len(row)} networks, and its bundle has {count}: it is damaged")
    for index, pair in enumerate(row):
        # A coarse clock of the process may stand at 0, the one that decides may not.
        good = isinstance(pair, list) and len(pair) == len(CLOCK_COLUMNS) and all(map(_is_number, pair))
        if not good or min(pair) < 0 or pair[0] == 0 or pair[column] == 0:
            raise InvalidInput(f"{name}[{index}] = {pair!r:.60} must be two times in seconds above 0")


def _check_plain(values: Mapping[str, Any], name: str) -> None:
    for key, value in values.items():
        items = value if isinstance(value, list) else [value]
        short = all(_is_number(one) or isinstance(one, bool) or _is_short(one) for one in items)
        if len(items) > LONGEST_LIST or not short:
            raise InvalidInput(f"{name}.{key} = {value!r:.60} must be short text or a number")


def _is_share(value: Any) -> bool:
    return value is None or (_is_number(value) and 0 <= value <= 1)


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of many digits
        return False


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")
