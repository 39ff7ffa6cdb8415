"""measure.py of a bundle: times the networks beside it and writes profile.json, to be carried back.

It needs Python 3.9 or newer, NumPy and the runtime that manifest.json names. Cut off, the same command goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from search.device.standalone.journal import RoundJournal
from search.device.standalone.loaders import NetworkRefused, NetworkRun, describe_loader, load_network
from search.device.standalone.machine import describe_machine, temperature_celsius
from search.device.standalone.rounds import Round, RoundRules, measure_rounds

MANIFEST, ROUNDS, RESULT = "manifest.json", "rounds.jsonl", "profile.json"
RESULT_KIND, RESULT_SCHEMA = "ofa-search measurement", 1
MANIFEST_SCHEMA = 1
SECONDS_BETWEEN_LINES = 5.0


class BundleDamaged(ValueError):
    """A bundle that is not whole; one line says what to do."""


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Returns the exit code of the script: 0, 2 where something is missing, 130 where it was stopped."""
    asked = parse_arguments(arguments)
    place = folder or Path(__file__).resolve().parent
    try:
        return measure_bundle(place, asked.seconds, asked.pause)
    except KeyboardInterrupt:
        print("\nmeasure.py: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except ValueError as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 2


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns `seconds`, None where it is not given, and `pause`."""
    parser = argparse.ArgumentParser(prog="measure.py", description="Times the networks of this bundle.")
    parser.add_argument("--seconds", type=not_negative, help="measure for so long at most, at least 6 rounds")
    parser.add_argument("--pause", type=not_negative, default=0.0, help="seconds of rest between rounds, to cool down")
    return parser.parse_args(arguments)


def not_negative(text: str) -> float:
    """Returns the number that a text says.

    Raises:
        ArgumentTypeError: it is none, or below 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, 0 or more")
    return value


def measure_bundle(place: Path, seconds: float | None, pause: float) -> int:
    """Returns 0 once profile.json is written; what was measured of it is also written when it is stopped.

    Raises:
        ValueError: the bundle is damaged, the runtime is missing, or the clock stands still.
    """
    manifest = read_manifest(place)
    protocol = manifest["protocol"]
    runtime = describe_loader(manifest["loader"], manifest["options"])
    runs, refused = load_all(place, manifest)
    rules = RoundRules(
        visits=protocol["visits"],
        repeats=protocol["repeats"],
        seconds=protocol["seconds"] if seconds is None else seconds,
        seed=protocol["seed"],
        judged=len(manifest["archs"]),
        clock=protocol["clock"],
    )
    machine = describe_machine()
    journal = RoundJournal(place / ROUNDS, f"{manifest['digest']} {json.dumps([machine, runtime], sort_keys=True)}")
    rounds = journal.begin(len(runs))
    show = Progress("measuring", rules.visits)
    if rounds:
        show.say(f"going on after {len(rounds)} rounds")

    def keep(one: Round) -> None:
        journal.append(one)
        rounds.append(one)

    result = {
        "kind": RESULT_KIND,
        "schema": RESULT_SCHEMA,
        "bundle": manifest["digest"],
        "machine": machine,
        "runtime": runtime,
        "refused": refused,
    }
    try:
        measure_rounds(
            runs,
            rules,
            done=tuple(rounds),
            keep=keep,
            report=show.step,
            pause=pause,
            thermometer=temperature_celsius,
        )
    finally:
        if rounds:
            write_result(place / RESULT, result, rounds)
    show.say(f"done: {len(rounds)} rounds in {place / RESULT}; carry it back for ofa profile import={RESULT}")
    return 0


def read_manifest(place: Path) -> Any:
    """Returns what manifest.json says.

    Raises:
        BundleDamaged: it is missing or damaged, or newer than this script.
    """
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        schema = manifest["schema"]
        damaged = manifest["digest"] != digest_of(manifest)
    except FileNotFoundError:
        raise BundleDamaged(f"{place / MANIFEST} is missing: run measure.py in the unpacked bundle") from None
    except (ValueError, KeyError, TypeError, OSError):
        damaged, schema = True, None
    if damaged:
        raise BundleDamaged(f"{place / MANIFEST} is damaged: unpack the bundle again")
    if schema != MANIFEST_SCHEMA:
        raise BundleDamaged(f"{place / MANIFEST} has schema {schema}, and this script reads {MANIFEST_SCHEMA}")
    return manifest


def digest_of(manifest: Mapping[str, Any]) -> str:
    """Returns 16 hex digits of all that a manifest says but its own digest."""
    content = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def load_all(place: Path, manifest: Mapping[str, Any]) -> tuple[list[NetworkRun], list[int]]:
    """Returns the runs of the networks, and the numbers of the parts that the runtime refuses.

    Raises:
        ValueError: a file is missing, or a whole network is refused.
    """
    networks = manifest["networks"]
    parts = range(len(manifest["archs"]), len(networks) - 1)  # a whole network is needed, and so is the sentinel
    show = Progress("loading", len(networks))
    runs: list[NetworkRun] = []
    refused = []
    for number, network in enumerate(networks):
        if network["files"] is None:
            refused.append(number)
            continue
        files = {
            suffix: read_network(place / file["name"], file["sha256"]) for suffix, file in network["files"].items()
        }
        # The numbers do not matter, as long as they are ordinary ones.
        given = np.random.default_rng(0).standard_normal(network["shape"]).astype(np.float32)
        try:
            runs.append(load_network(manifest["loader"], files, given, manifest["options"]))
        except NetworkRefused:
            if number not in parts:
                raise
            refused.append(number)
        show.step(number + 1)
    return runs, refused


def read_network(path: Path, sha256: str) -> bytes:
    """Returns the bytes of a file of a network.

    Raises:
        BundleDamaged: it is missing, or not what was written.
    """
    try:
        content = path.read_bytes()
    except OSError:
        raise BundleDamaged(f"{path} is missing: unpack the bundle again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleDamaged(f"{path} is damaged: unpack the bundle again")
    return content


def write_result(path: Path, result: Mapping[str, Any], rounds: Sequence[Round]) -> None:
    """Writes profile.json whole or not at all."""
    content = {
        **result,
        "date_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),  # noqa: UP017 (Python 3.9 has no UTC)
        "seconds": rounds[-1].seconds,
        "celsius": [one.celsius for one in rounds],
        "interrupted": [one.interrupted for one in rounds],
        "rounds": [[list(pair) for pair in one.times] for one in rounds],
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


class Progress:
    """Shows how far the work is: one line on a terminal, else a line every few seconds."""

    def __init__(self, what: str, total: int) -> None:
        self.what, self.total = what, total
        self.shown = -SECONDS_BETWEEN_LINES
        self.live = sys.stderr.isatty()

    def step(self, done: int, seconds_left: float | None = None) -> None:
        """Shows that `done` of the total are done."""
        now = time.monotonic()
        last = done == self.total
        if not self.live and not last and now - self.shown < SECONDS_BETWEEN_LINES:
            return
        self.shown = now
        left = "" if seconds_left is None or done >= self.total else f", {round(seconds_left)} s left"
        line = f"{self.what} {done}/{max(done, self.total)}{left}"
        print(f"\r{line:<60}" if self.live else line, end="\n" if last or not self.live else "", file=sys.stderr)
        sys.stderr.flush()

    def say(self, text: str) -> None:
        """Prints a line."""
        print(f"{self.what}: {text}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
