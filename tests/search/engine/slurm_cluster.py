"""A cluster of SLURM by its commands alone: what submitit calls, with the processes of a job on this machine.

`put_on_path` makes the commands; each is this file, called by its name. A job is a folder with its script, its state
and the process groups of its tasks. As in SLURM a signal goes to all processes of a job, the children of its tasks
too, and who ends a job, or queues it again, sends SIGTERM first and SIGKILL after a while.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

COMMANDS = ("sbatch", "srun", "sacct", "scancel", "scontrol")
JOBS = "SLURM_JOBS_FOLDER"
KILL_WAIT = 1.0  # seconds from SIGTERM to SIGKILL, 30 by SLURM's own configuration


def put_on_path(folder: Path) -> dict[str, str]:
    """Makes the commands; returns the variables with which they are found."""
    places = folder / "commands", folder / "jobs"
    for place in places:
        place.mkdir(parents=True)
    for name in COMMANDS:
        path = places[0] / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" {name} "$@"\n')
        path.chmod(0o755)
    return {"PATH": f"{places[0]}{os.pathsep}{os.environ['PATH']}", JOBS: str(places[1])}


def _jobs() -> Path:
    return Path(os.environ[JOBS])


def signal_job(job: Path, number: int) -> None:
    """Sends a signal to all processes that a job has now."""
    _signal(_groups(job), number)


def _groups(job: Path) -> list[int]:
    return [int(group) for group in (job / "groups").read_text().split()]


def _signal(groups: Sequence[int], number: int) -> None:
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, number)


def states_of(job: Path) -> list[str]:
    """Returns the states that a job has been in."""
    return (job / "state").read_text().split()


def _say(job: Path, state: str) -> None:
    with (job / "state").open("a") as file:
        file.write(f"{state}\n")


def requeue(job: Path) -> None:
    """Ends a job's processes and begins them anew, as `scontrol requeue` and preemption with a requeue do."""
    (job / "requeue").touch()
    _in_background("end", str(job))


def _in_background(*arguments: str) -> None:
    quiet = subprocess.DEVNULL
    subprocess.Popen([sys.executable, __file__, *arguments], start_new_session=True, stdout=quiet, stderr=quiet)


def _sbatch(script: str) -> None:
    job = _jobs() / str(1 + len(list(_jobs().iterdir())))
    job.mkdir()
    (job / "script").write_text(Path(script).read_text())
    _say(job, "PENDING")
    (job / "groups").touch()
    _in_background("run", str(job))
    print(f"Submitted batch job {job.name}")


def _run(name: str) -> None:
    """A job from its first process to its last, however often it is queued again."""
    job = Path(name)
    found = dict(re.findall(r"#SBATCH --(nodes|ntasks-per-node)=(\d+)", (job / "script").read_text()))
    nodes, each = (int(found.get(key, 1)) for key in ("nodes", "ntasks-per-node"))
    where = {"SLURM_JOB_ID": job.name, "SLURM_JOB_NUM_NODES": str(nodes), "SLURM_JOB_NODELIST": "localhost"}
    while True:
        _say(job, "RUNNING")
        code = subprocess.call(["bash", job / "script"], env={**os.environ, **where, "SLURM_NTASKS": str(nodes * each)})
        if not (job / "requeue").exists():
            break
        _say(job, "REQUEUED")
        (job / "requeue").unlink()
    if states_of(job)[-1] != "CANCELLED":
        _say(job, "FAILED" if code else "COMPLETED")


def _srun(*words: str) -> None:
    """The tasks of a step, each a process group of its own."""
    given = list(words)
    output = given[given.index("--output") + 1]
    command = given[given.index("--error") + 2 :]
    job, count = _jobs() / os.environ["SLURM_JOB_ID"], int(os.environ["SLURM_NTASKS"])
    each = count // int(os.environ["SLURM_JOB_NUM_NODES"])
    tasks = []
    for rank in range(count):
        where = {"SLURM_PROCID": rank, "SLURM_NODEID": rank // each, "SLURM_LOCALID": rank % each}
        with Path(output.replace("%j", job.name).replace("%t", str(rank))).open("a") as log:
            environment = {**os.environ, **{key: str(value) for key, value in where.items()}}
            tasks.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True))
    (job / "groups").write_text(" ".join(str(task.pid) for task in tasks))
    codes = [task.wait() for task in tasks]
    sys.exit(max(abs(code) for code in codes))


def _end(name: str) -> None:
    groups = _groups(Path(name))  # not those of the job when it has begun anew
    for number, wait in ((signal.SIGCONT, 0.0), (signal.SIGTERM, KILL_WAIT), (signal.SIGKILL, 0.0)):
        _signal(groups, number)
        time.sleep(wait)


def _sacct(*_: str) -> None:
    print("JobID|State|NodeList")
    for job in _jobs().iterdir():
        print(f"{job.name}|{states_of(job)[-1]}|localhost")


def _scancel(number: str) -> None:
    _say(_jobs() / number, "CANCELLED")
    _end(str(_jobs() / number))


def _scontrol(_: str, number: str) -> None:
    requeue(_jobs() / number)


if __name__ == "__main__":
    own = {"run": _run, "end": _end, "sbatch": _sbatch, "srun": _srun}
    {**own, "sacct": _sacct, "scancel": _scancel, "scontrol": _scontrol}[sys.argv[1]](*sys.argv[2:])
