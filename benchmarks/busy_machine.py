"""What other processes do to a profile: whether its figures stay right, and whether its verdict says so.

    python benchmarks/busy_machine.py [--busy 0,2,4,0] [--output benchmarks/results/busy_machine.json]

The anchors and blocks that `ofa profile` would choose are measured as it does, alone and beside busy processes, under
the wall and the CPU clock. Held against the quietest measurement of the clock: how far the anchors are off as a mean of
relative errors, how far all are off to one side, and the largest error; times are tied by the sentinel, so that what
slows every network alike does not count.

"Interrupted" is the share of the time in which others had the processor, as the profile has it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ofa
from ofa.models import MobileNet
from ofa.paths import write_json
from search.device import Measurement, clock_named, make_runtime
from search.device import measuring as measure
from search.device.latency.sample import choose_sample
from search.device.standalone.machine import describe_machine

REPEATS = 8
QUIET = 0.2  # cores that other processes may use
# Computes, and walks through 32 MiB, more than the caches of a core hold; ends with the process that started it.
BUSY = """
import os
parent = os.getppid()
numbers = bytearray(32 * 2**20)
step = 0
while os.getppid() == parent:
    for place in range(step % 64, len(numbers), 64):
        numbers[place] = (numbers[place] + step) & 255
    step += 1
"""


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Runs that many busy processes, and stops them at the end."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(count):
            processes.append(subprocess.Popen([sys.executable, "-c", BUSY]))
        if count:
            time.sleep(1.0)
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def others(before: list[float], after: list[float]) -> float | None:
    """Returns how many cores other processes used between two readings of `machine_seconds`, None where unknown."""
    if not before or not after:
        return None
    elapsed, own, all_cores = (late - early for early, late in zip(before, after, strict=True))
    return (all_cores - own) / elapsed


def machine_seconds() -> list[float]:
    """Returns seconds by the wall, of this process's processor time, and of all cores' (Linux; [] elsewhere)."""
    path = Path("/proc/stat")
    if not path.exists():
        return []
    user, nice, system, _, _, interrupt, soft, *_ = (
        int(word) for word in path.read_text().split("\n", 1)[0].split()[1:]
    )
    return [time.perf_counter(), time.process_time(), (user + nice + system + interrupt + soft) / 100]


def wait_for_quiet(seconds: float) -> None:
    """Waits until other processes use less than `QUIET` cores for some seconds, or the time is up."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        before = machine_seconds()
        time.sleep(6.0)
        if (others(before, machine_seconds()) or 0.0) < QUIET:
            return


def against(quiet: Measurement, found: Measurement) -> dict[str, float]:
    """Returns how far anchors are from those of the quiet measurement."""
    tied = found.ms * quiet.sentinel.ms / found.sentinel.ms
    errors, raw = tied / quiet.ms - 1, found.ms / quiet.ms - 1
    return {
        "error": float(np.abs(errors).mean()),
        "bias": float(errors.mean()),
        "largest": float(np.abs(errors).max()),
        "error_untied": float(np.abs(raw).mean()),
        "bias_untied": float(raw.mean()),
    }


def measurements(options: argparse.Namespace) -> Iterator[tuple[Measurement, dict[str, Any]]]:
    """Yields a measurement, with what was beside it."""
    torch.manual_seed(options.seed)
    shape = (3, options.image_size, options.image_size)
    supernet = ofa.Supernet(MobileNet(shape, 10), torch.randn(2, *shape))
    sample = choose_sample(supernet, anchors=options.anchors, blocks=options.blocks, alignment=True, seed=options.seed)
    runtime = make_runtime(options.runtime)
    for repeat in range(options.repeats):
        for name in options.clocks.split(","):
            for count in (int(one) for one in options.busy.split(",")):
                wait_for_quiet(options.wait)
                with busy(count):
                    before = machine_seconds()
                    found = measure(
                        sample.nets,
                        runtime,
                        visits=options.visits,
                        repeats=REPEATS,
                        seconds=options.seconds,
                        seed=repeat,
                        clock=clock_named(name),
                        pieces=sample.parts,
                    )
                    used = others(before, machine_seconds())
                yield found, {"clock": name, "busy": count, "cores_used_by_others": used}


def rows(found: list[tuple[Measurement, dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yields a row of figures a measurement, held against the quietest one of its clock."""
    for one, beside in found:
        same = [(other, place) for other, place in found if place["clock"] == beside["clock"]]
        quiet = min(same, key=lambda pair: (pair[1]["busy"], pair[1]["cores_used_by_others"] or 0.0))[0]
        yield {
            **beside,
            "is_reference": one is quiet,
            "visits": one.sentinel.visits,
            "seconds": one.seconds,
            "verdict": one.verdict,
            "disagreement": one.disagreement,
            "drift": one.drift,
            "interrupted": one.interrupted,
            **against(quiet, one),
            "ms": one.ms.tolist(),
            "sentinel_ms": one.sentinel.ms,
        }


def main() -> None:
    """Measures, prints a table and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--busy", default="0,2,4,0", help="processes beside each measurement, a quiet one first")
    parser.add_argument("--clocks", default="wall,cpu")
    parser.add_argument("--repeats", type=int, default=3, help="of the whole")
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--anchors", type=int, default=30)
    parser.add_argument("--blocks", type=int, default=240)
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=50.0, help="at most, for a measurement")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds, at most, for others to end before each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for one, beside in measurements(options):
        found.append((one, beside))
        print(f"{beside['clock']}, {beside['busy']} busy: {one.verdict}, {one.seconds:.0f} s", flush=True)
    print(
        "\n| clock | busy | others' cores | visits | verdict | odd/even | drift | error | bias | largest "
        "| interrupted |\n|---|---|---|---|---|---|---|---|---|---|---|"
    )
    table = list(rows(found))
    for row in table:
        used = "" if row["cores_used_by_others"] is None else f"{row['cores_used_by_others']:.2f}"
        against_quiet = f"{row['error']:.1%} | {row['bias']:+.1%} | {row['largest']:.1%}"
        if row["is_reference"]:
            against_quiet = "reference | | "
        print(
            f"| {row['clock']} | {row['busy']} | {used} | {row['visits']} | {row['verdict']} "
            f"| {row['disagreement']:.1%} | {row['drift']:.1%} | {against_quiet} | {row['interrupted']:.1%} |"
        )
    if options.output:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
        content = {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit.strip(),
            "machine": describe_machine(),
            "torch": torch.__version__,
            "runtime": make_runtime(options.runtime).describe(),
            "options": {name: str(value) for name, value in vars(options).items() if name != "output"},
            "rows": table,
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, content)


if __name__ == "__main__":
    main()
