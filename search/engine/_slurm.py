"""engine=slurm: the processes of a training are tasks of a SLURM job, which submitit queues."""

from __future__ import annotations

import importlib
import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from ofa.errors import InvalidInput, is_number, is_whole
from search.engine.command import STARTED_VARIABLE, Command, said_by, show_until
from search.run.progress import PLAIN_VARIABLE, say

CLUSTER = "slurm"  # of submitit; its "local" is processes of this machine
TIMEOUTS = 1000  # of one job, each queued again: a long training takes as many as it takes
LONGEST_WAIT = 10.0  # seconds for the other processes, once the first has ended
LONGEST_GRACE = 600.0  # seconds between SIGTERM and what SLURM does next


def slurm(
    command: Command,
    *,
    nodes: int = 1,
    tasks_per_node: int = 1,
    gpus_per_node: int = 0,
    cpus_per_task: int = 1,
    minutes: float = 60,
    partition: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Returns the exit code of a training's first process, after queueing a job and showing what its processes say.

    A job that is preempted, or whose time runs out, is queued again and resumes from the training's checkpoint. One
    whose command is stopped here is canceled.

    Args:
        tasks_per_node: processes on each machine; with GPUs, one for each of them.
        minutes: the time limit of the job.
        partition: None for the cluster's usual one.
        options: whatever else `submitit.AutoExecutor` takes, such as mem_gb or slurm_account.

    Raises:
        InvalidInput: submitit or SLURM is missing, an option it does not take, or a job that ends without a result.
    """
    counts = {"nodes": nodes, "tasks_per_node": tasks_per_node, "cpus_per_task": cpus_per_task}
    for name, value in {**counts, "gpus_per_node": gpus_per_node}.items():
        least = 1 if name in counts else 0
        if not is_whole(value, least):
            raise InvalidInput(f"engine.{name}={value!r} must be a whole number of at least {least}")
    if not is_number(minutes) or minutes <= 0:
        raise InvalidInput(f"engine.minutes={minutes!r} must be more than 0")
    given: dict[str, Any] = {**counts, "gpus_per_node": gpus_per_node, "timeout_min": minutes}
    if partition is not None:
        given["slurm_partition"] = partition
    submitit, folder = _submitit(), command.folder / secrets.token_hex(4)
    try:
        executor = submitit.AutoExecutor(folder, cluster=CLUSTER, slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(name=f"ofa-{command.verb}", **given, **(options or {}))
    except (RuntimeError, ValueError, NameError, TypeError) as error:
        raise InvalidInput(f"engine=slurm: {' '.join(str(error).split()):.300}") from None
    job = executor.submit(_Task(command.line, os.getcwd()))
    say(f"{command.verb}: job {job.job_id}, {nodes} x {tasks_per_node} processes; what they say is in {folder}")
    first = job.task(0)
    try:
        show_until(_over(job, first), folder)
        code = int(first.result())
    except (submitit.core.utils.UncompletedJobError, submitit.core.utils.FailedJobError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InvalidInput(
            f"engine=slurm: job {job.job_id} ended without a result: {reason:.200}; see {folder}"
        ) from None
    except KeyboardInterrupt:
        job.cancel(check=False)
        raise
    if code == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return code


def _over(job: Any, first: Any) -> Callable[[], bool]:
    """Says whether all processes have ended, or the first some time ago: the others may have lost their machine."""
    ended: list[float] = []

    def over() -> bool:
        if not ended and first.done():
            ended.append(time.monotonic())
        return bool(ended) and (job.done() or time.monotonic() > ended[0] + LONGEST_WAIT)

    return over


def _submitit() -> Any:
    if importlib.util.find_spec("submitit") is None:
        raise InvalidInput("engine=slurm needs submitit: pip install 'ofa-search[sweeps]', or start it by torchrun")
    return importlib.import_module("submitit")


@dataclass(frozen=True)
class _Task:
    """One process of the training, which is a child of submitit's: signals end it as they end one of a user."""

    line: Sequence[str]
    folder: str

    def __call__(self) -> int:
        """Returns the exit code of the process."""
        there = importlib.import_module("submitit.helpers").TorchDistributedEnvironment()
        environment = os.environ | {
            **{"MASTER_ADDR": there.master_addr, "MASTER_PORT": str(there.master_port)},
            **{"RANK": str(there.rank), "WORLD_SIZE": str(there.world_size)},
            **{"LOCAL_RANK": str(there.local_rank), "LOCAL_WORLD_SIZE": str(there.local_world_size)},
            **{STARTED_VARIABLE: "slurm", PLAIN_VARIABLE: "1"},
        }
        said = said_by(Path(os.environ["SUBMITIT_FOLDER"]), there.rank)
        told_to_end: list[int] = []
        before: Any = signal.getsignal(signal.SIGTERM)  # of submitit, which goes on

        def note(number: int, frame: FrameType | None) -> None:
            told_to_end.append(number)
            if callable(before):
                before(number, frame)

        signal.signal(signal.SIGTERM, note)
        with said.open("a", encoding="utf-8") as file:
            child = subprocess.Popen(
                self.line,
                cwd=self.folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                preexec_fn=_ignore_preemption,
            )
            try:
                code = child.wait()
                if code and told_to_end:
                    # SIGTERM, which ended the child, comes before preemption, too: with a result the job were over, and
                    # not queued again. Whether it is, is SLURM's to say: it ends this process, or sends SIGUSR2.
                    time.sleep(LONGEST_GRACE)
            finally:  # submitit leaves by an exception where the job is queued again
                child.terminate()
                child.wait()
        return code if code >= 0 else 128 - code

    def checkpoint(self) -> Any:
        """Returns what is queued again where the job is preempted or out of time."""
        return importlib.import_module("submitit.helpers").DelayedSubmission(self)


def _ignore_preemption() -> None:
    """Leaves the signal of preemption, which SLURM sends to all processes of a job, to submitit alone."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
