"""Commands killed at random instructions and given again: all go on, to what they would have come to.

A sequence is one or more commands over a small run. Each is killed by SIGKILL one to three times, at a write, a rename,
a removal, a step of an optimizer or in the middle of a line of a journal, and given again until it ends. Then
everything in the folder is compared with what the same commands leave without a kill: weights to the bit, candidates,
what was chosen. Checked as well: trials and stages that were finished stay as they were, no evaluation that was kept
is made again, and no more steps of optimizers are lost than lie between two checkpoints. The steps by which a sampler
learns from finished trials, the same each time, are counted by themselves. The device is simulated, for times that can
be compared; a command runs in a fork of this process, which has everything imported.

    python -m benchmarks.kills
    python -m benchmarks.kills --sequences 12 --only "joint search guided,search tpe" --seed 3
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
from collections.abc import Sequence as Many
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.killing.commands import Kills, Result, import_all
from benchmarks.killing.verbs import Sequence, sequences
from ofa.paths import write_json
from search.device.standalone.machine import describe_machine

MEMORY = Path("/dev/shm")  # where the system has it: a kill loses nothing that was written, and disks are slow


def run_sequences(root: Path, count: int, only: str, seed: int, processes: int = 1) -> list[Result]:
    """Returns the results of `count` sequences whose kind is in `only`, one line printed for each; "" is all kinds."""
    kinds = [kind for kind in sequences().values() if not only or kind.name in only.split(",")]
    shares = np.array([kind.share for kind in kinds])
    numbers = np.repeat(np.arange(len(kinds)), np.ceil(count * shares / shares.sum()).astype(int))
    drawn = [kinds[int(number)] for number in np.random.default_rng(seed).permutation(numbers)[:count]]
    kills = Kills(root)
    for kind in dict.fromkeys(one.name for one in drawn):
        kills.reference(sequences()[kind])
    work = partial(_killed, kills, seed)
    if processes == 1:
        return [_said(result, number) for number, result in enumerate(map(work, enumerate(drawn)))]
    with multiprocessing.get_context("fork").Pool(processes) as pool:
        return [_said(result, number) for number, result in enumerate(pool.imap(work, enumerate(drawn)))]


def _killed(kills: Kills, seed: int, drawn: tuple[int, Sequence]) -> Result:
    number, kind = drawn
    return kills.killed(kind, number, np.random.default_rng([seed, number]))


def _said(result: Result, number: int) -> Result:
    print(f"{number + 1} {result.name}: {len(result.kills)} kills", *result.faults, sep="; ", flush=True)
    return result


def rows_of(results: Many[Result]) -> list[dict[str, Any]]:
    """Returns a row a kind of sequence."""
    rows = []
    for name in sequences():
        some = [result for result in results if result.name == name]
        if some:
            rows.append(
                {
                    "sequence": name,
                    "sequences": len(some),
                    "kills": sum(len(result.kills) for result in some),
                    "steps_again": sum(result.steps_again for result in some),
                    "sampler_steps_again": sum(result.sampler_steps_again for result in some),
                    "faults": [fault for result in some for fault in result.faults],
                }
            )
    return rows


def parse() -> argparse.Namespace:
    """Returns the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else None)
    parser.add_argument("--sequences", type=int, default=200)
    parser.add_argument("--only", default="", help="kinds, separated by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2, help="sequences at a time")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/kills.json"))
    return parser.parse_args()


def run() -> int:
    """Returns 0 where no sequence has a fault."""
    options = parse()
    import_all()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as root:
        rows = rows_of(run_sequences(Path(root), options.sequences, options.only, options.seed, options.processes))
    content = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": describe_machine(),
        "options": {name: str(value) for name, value in vars(options).items() if name != "output"},
        "rows": rows,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.output, content)
    return int(any(row["faults"] for row in rows))


if __name__ == "__main__":
    sys.exit(run())
