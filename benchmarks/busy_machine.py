"""What other processes do to a profile: whether its figures stay right, and whether its verdict says so.

    python benchmarks/busy_machine.py [--busy 0,2,4,0] [--output benchmarks/results/busy_machine.json]

The anchors and blocks that `ofa profile` would choose are measured as it does, alone and beside busy processes, under
the wall and the CPU clock. Held against the first measurement of the clock, which is quiet: how far the anchors are off
as a mean of relative errors, how far all are off to one side, and the largest error; times are tied by the sentinel,
so that what slows every network alike does not count.

Two signals that the profile does not have are reported beside the verdict: the share of the wall time of samples in
which this process did not run, and by how much the median of a visit lies over its fastest run.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import ofa
from ofa.models import MobileNet
from ofa.paths import write_json
from search.device import Clock, Measurement, clock_named, make_runtime, measure
from search.device.anchors import choose_anchors
from search.device.machine import describe_machine
from search.device.pieces import choose_pieces

REPEATS = 8
# Computes, and walks through 32 MiB, more than the caches of a core hold.
BUSY = """
numbers = bytearray(32 * 2**20)
step = 0
while True:
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


class Recorder:
    """A clock that keeps what the wall and the CPU clock said whenever it was read."""

    def __init__(self, name: str) -> None:
        self._wall, self._cpu = array("d"), array("d")
        self._read = clock_named(name).seconds
        self.clock = Clock(name, self._seconds)

    def _seconds(self) -> float:
        self._wall.append(time.perf_counter())
        self._cpu.append(time.process_time())
        return self._read()

    def signals(self, visits: int) -> dict[str, float]:
        """Returns what the samples of the last `visits` say about other processes."""
        kept = 2 * REPEATS * visits  # readings come in pairs, one pair a sample
        wall, cpu = (
            np.diff(np.array(one[-kept:]).reshape(-1, 2), axis=1).reshape(-1, REPEATS)
            for one in (self._wall, self._cpu)
        )
        times = wall if self.clock.name == "wall" else cpu
        over = np.median(times, axis=1) / times.min(axis=1) - 1
        return {"not_running": float(1 - cpu.sum() / wall.sum()), "median_over_fastest": float(np.median(over))}


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


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yields a row of figures a measurement."""
    torch.manual_seed(options.seed)
    shape = (3, options.image_size, options.image_size)
    supernet = ofa.Supernet(MobileNet(shape, 10), torch.randn(2, *shape))
    archs = choose_anchors(
        supernet.space, lambda some: ofa.cost(supernet, some)["macs"].astype(float), options.anchors, options.seed
    )
    nets: list[nn.Module] = [supernet.extract(arch).eval() for arch in archs]
    pieces = [(piece.net, piece.example_input) for piece, _ in choose_pieces(supernet, archs, options.blocks, 0)]
    runtime = make_runtime(options.runtime)
    quiet: dict[str, Measurement] = {}
    for repeat in range(options.repeats):
        for name in options.clocks.split(","):
            for count in (int(one) for one in options.busy.split(",")):
                recorder = Recorder(name)
                with busy(count):
                    before = machine_seconds()
                    found = measure(
                        nets,
                        supernet.example_input[:1],
                        runtime,
                        visits=options.visits,
                        repeats=REPEATS,
                        seconds=options.seconds,
                        seed=repeat,
                        clock=recorder.clock,
                        pieces=pieces,
                    )
                    used = others(before, machine_seconds())
                quiet.setdefault(name, found)
                runs = len(nets) + 1 + sum(piece is not None for piece in found.pieces)
                yield {
                    "clock": name,
                    "busy": count,
                    "cores_used_by_others": used,
                    "visits": found.sentinel.visits,
                    "seconds": found.seconds,
                    "verdict": found.verdict,
                    "disagreement": found.disagreement,
                    "drift": found.drift,
                    **recorder.signals(found.sentinel.visits * runs),
                    **against(quiet[name], found),
                    "ms": found.ms.tolist(),
                    "sentinel_ms": found.sentinel.ms,
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
    parser.add_argument("--blocks", type=int, default=120)
    parser.add_argument("--visits", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=25.0, help="at most, for a measurement")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(
        "| clock | busy | others' cores | visits | verdict | odd/even | drift | error | bias | largest | not running |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    found = []
    for row in rows(options):
        found.append(row)
        used = "" if row["cores_used_by_others"] is None else f"{row['cores_used_by_others']:.2f}"
        print(
            f"| {row['clock']} | {row['busy']} | {used} | {row['visits']} | {row['verdict']} "
            f"| {row['disagreement']:.1%} | {row['drift']:.1%} | {row['error']:.1%} | {row['bias']:+.1%} "
            f"| {row['largest']:.1%} | {row['not_running']:.1%} |",
            flush=True,
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
            "rows": found,
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, content)


if __name__ == "__main__":
    main()
