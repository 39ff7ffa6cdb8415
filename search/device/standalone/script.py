"""measure.py of a bundle: times the networks beside it and writes profile.json, to be carried back.

It needs Python 3.9 or newer, NumPy and the runtime that manifest.json names. The same command resumes a stopped run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from search.device.standalone.files import RoundJournal, record_text, write_whole
from search.device.standalone.libraries import NetworkRefused, NetworkRun
from search.device.standalone.loaders import describe_loader, load_network
from search.device.standalone.machine import describe_machine, temperature_celsius
from search.device.standalone.manifest import BundleDamaged, read_manifest
from search.device.standalone.rounds import Round, RoundRules, measure_rounds

ROUNDS, RESULT = "rounds.jsonl", "profile.json"
RESULT_KIND, RESULT_VERSION = "measurement", 2
SECONDS_BETWEEN_LINES = 5.0


def main(arguments: Sequence[str] | None = None, folder: Path | None = None) -> int:
    """Returns the exit code of the script: 0, 2 if something is missing, 130 if it was stopped."""
    options = parse_arguments(arguments)
    bundle = folder or Path(__file__).resolve().parent
    try:
        return measure_bundle(bundle, options.seconds, options.pause)
    except KeyboardInterrupt:
        print("\nmeasure.py: stopped; the same command goes on where it was", file=sys.stderr)
        return 130
    except ValueError as error:
        print(f"measure.py: {error}", file=sys.stderr)
        return 2


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Returns the arguments: `seconds`, None where not set, and `pause`."""
    parser = argparse.ArgumentParser(prog="measure.py", description="Times the networks of this bundle.")
    parser.add_argument("--seconds", type=not_negative, help="measure for so long at most, at least 6 rounds")
    parser.add_argument("--pause", type=not_negative, default=0.0, help="seconds of rest between rounds, to cool down")
    return parser.parse_args(arguments)


def not_negative(text: str) -> float:
    """Returns a text as a number.

    Raises:
        ArgumentTypeError: it is not a number, or below 0.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be a number of seconds, 0 or more")
    return value


def measure_bundle(folder: Path, seconds: float | None, pause: float) -> int:
    """Returns 0 once profile.json is written; the rounds made so far are also written when it is stopped.

    Raises:
        ValueError: the bundle is damaged, the runtime is missing, or the clock stands still.
    """
    manifest = read_manifest(folder)
    protocol = manifest["protocol"]
    runtime = describe_loader(manifest["loader"], manifest["options"])
    runs, refused = load_all(folder, manifest)
    rules = RoundRules(
        visits=protocol["visits"],
        repeats=protocol["repeats"],
        seconds=protocol["seconds"] if seconds is None else seconds,
        seed=protocol["seed"],
        judged=len(manifest["archs"]),
        clock=protocol["clock"],
    )
    machine = describe_machine()
    journal = RoundJournal(folder / ROUNDS, f"{manifest['digest']} {json.dumps([machine, runtime], sort_keys=True)}")
    rounds = journal.begin(len(runs))
    show = Progress("measuring", rules.visits)
    if rounds:
        show.say(f"going on after {len(rounds)} rounds")

    def keep(visits: Round) -> None:
        journal.append(visits)
        rounds.append(visits)

    result = {
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
            write_result(folder / RESULT, result, rounds)
    show.say(f"done: {len(rounds)} rounds in {folder / RESULT}; carry it back for ofa profile import={RESULT}")
    return 0


def load_all(folder: Path, manifest: Mapping[str, Any]) -> tuple[list[NetworkRun], list[int]]:
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
            suffix: read_network(folder / file["name"], file["sha256"]) for suffix, file in network["files"].items()
        }
        # The values do not matter, as long as they are ordinary numbers.
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
        BundleDamaged: it is missing, or was changed.
    """
    try:
        if path.is_symlink() or not path.is_file():
            raise OSError
        content = path.read_bytes()
    except OSError:
        raise BundleDamaged(f"{path} is missing: unpack the bundle again") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise BundleDamaged(f"{path} is damaged: unpack the bundle again")
    return content


def write_result(path: Path, result: Mapping[str, Any], rounds: Sequence[Round]) -> None:
    """Writes profile.json completely or not at all."""
    content = {
        **result,
        "date_utc": datetime.now(timezone.utc).isoformat(timespec="seconds"),  # noqa: UP017 (Python 3.9 has no UTC)
        "seconds": rounds[-1].seconds,
        "celsius": [visits.celsius for visits in rounds],
        "interrupted": [visits.interrupted for visits in rounds],
        "rounds": [[list(pair) for pair in visits.times] for visits in rounds],
    }
    write_whole(path, record_text(RESULT_KIND, RESULT_VERSION, content))


class Progress:
    """Shows progress: one updated line on a terminal, otherwise a line every few seconds."""

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
