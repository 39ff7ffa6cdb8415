"""engine=ray of a training: its processes are the workers of Ray Train, on one machine or on many."""

from __future__ import annotations

import contextlib
import importlib
import os
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput, is_whole
from search.engine._ray import AUTO, NEEDED, check_shares, cluster
from search.engine.command import ANOTHER_ENDED, PROGRAM, STARTED_VARIABLE, Command, said_by, show_until
from search.engine.engine import TRIES_AGAIN
from search.engine.team import check_counts
from search.run.progress import PLAIN_VARIABLE, say

_LONGEST_WAIT = 24 * 60 * 60  # seconds, for the first process, which evaluates and writes alone
_PATIENCE = 600.0  # seconds, of a worker that lost another, until Ray has noticed and ends it


def ray_training(
    command: Command,
    *,
    address: str = AUTO,
    workers: int | None = None,
    cpus_per_worker: float = 1,
    gpus_per_worker: int = 0,
    retries: int = TRIES_AGAIN,
) -> int:
    """Returns the exit code of a training whose processes are workers of Ray Train, after showing what they say.

    All workers begin when the cluster has room for all of them, and end with the first that fails. They learn by gloo,
    and by NCCL where they have GPUs.

    Args:
        address: "auto", "local", or host:port of a cluster; without effect where this process is in one already.
        workers: how many; None: one.
        cpus_per_worker: cores that each is given.
        gpus_per_worker: GPUs that each is given, of which it uses one.
        retries: how often the training goes on from its checkpoint after a worker died, or its machine.

    Raises:
        InvalidInput: Ray Train is not installed, no cluster is at the address, or it has too little for all workers at
            once; an option out of range; or workers that died too often.
    """
    workers = 1 if workers is None else workers
    check_counts(workers, retries)
    check_shares(cpus_per_worker, gpus_per_worker)
    if not is_whole(gpus_per_worker, 0):
        raise InvalidInput(
            f"engine.gpus_per_worker={gpus_per_worker!r} must be a whole number: each process of a training has a GPU "
            "of its own"
        )
    with cluster(address) as library:
        there = library.cluster_resources()
        for name, kind, value in (("cpus", "CPU", cpus_per_worker), ("gpus", "GPU", gpus_per_worker)):
            if workers * value > there.get(kind, 0):
                raise InvalidInput(
                    f"engine.workers={workers} with engine.{name}_per_worker={value:g} train at once, and the cluster "
                    f"has {there.get(kind, 0):g} {kind}s in all: give fewer workers"
                )
        folder = command.folder / secrets.token_hex(4)
        folder.mkdir(parents=True)
        training = _Training(_make_fit(command, folder, workers, cpus_per_worker, gpus_per_worker), retries)
        say(f"{command.verb}: {workers} workers of Ray Train; what they say is in {folder}")
        thread = threading.Thread(target=training.run, daemon=True)  # Ray would replace signal handlers in this one
        thread.start()
        # Ray tells standard output of each death, at length.
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            show_until(lambda: not thread.is_alive(), folder)
        if training.error is not None:
            raise InvalidInput(f"engine=ray: {training.error}; see {folder}") from None
    if training.code == 0:
        shutil.rmtree(folder, ignore_errors=True)
    return training.code


class _Training:
    """Tries of a training: one more where a worker died, none where the training itself ended with an error.

    Attributes:
        code: the exit code, of the first worker that has one other than 0.
        error: why it could not be trained to such an end, in one line.
    """

    def __init__(self, fit: Callable[[], Any], retries: int) -> None:
        self._fit, self._left = fit, retries
        self.code = 0
        self.error: str | None = None

    def run(self) -> None:
        """Trains until there is an exit code or an error."""
        deaths = 0
        while True:
            try:
                self._fit()
                return
            except Exception as error:
                failures: dict[int, Exception] = getattr(error, "worker_failures", {})
                codes = [each.code for _, each in sorted(failures.items()) if isinstance(each, WorkerEnded)]
                if failures and len(codes) == len(failures) and set(codes) != {ANOTHER_ENDED}:
                    self.code = next(code for code in codes if code != ANOTHER_ENDED)
                    return
                if not failures:  # of Ray Train itself
                    self.error = " ".join(str(error).split())[:300]
                    return
            deaths += 1
            if self._left == 0:
                self.error = (
                    f"a worker was killed, or its machine lost, {deaths} times (engine.retries); the same command goes "
                    "on from the checkpoint"
                )
                return
            self._left -= 1
            say(
                "engine=ray: a worker was killed, or its machine lost; all go on from the checkpoint, and "
                f"{self._left} more times at the most"
            )


class WorkerEnded(Exception):
    """The end of a worker with an exit code other than 0, which ends all others."""

    @property
    def code(self) -> int:
        """The exit code."""
        return int(self.args[0])


def _make_fit(command: Command, folder: Path, workers: int, cpus: float, gpus: int) -> Callable[[], Any]:
    """A function that trains once by Ray Train, and raises its error with the failures of workers."""
    try:
        train, torch = importlib.import_module("ray.train"), importlib.import_module("ray.train.torch")
    except ImportError as error:
        raise InvalidInput(f"engine=ray: {' '.join(str(error).split()):.200}; {NEEDED}") from None
    work = _Worker(command.verb, command.words, folder, os.getcwd(), tuple(sys.path))
    variables = {STARTED_VARIABLE: "ray", PLAIN_VARIABLE: "1", "RAY_TRAIN_ENABLE_PRINT_PATCH": "0"}

    def fit() -> Any:
        return torch.TorchTrainer(
            work,
            torch_config=torch.TorchConfig("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout_s=_LONGEST_WAIT),
            scaling_config=train.ScalingConfig(
                num_workers=workers,
                use_gpu=gpus > 0,
                resources_per_worker={"CPU": cpus, **({"GPU": gpus} if gpus else {})},
            ),
            run_config=train.RunConfig(
                name="ray",
                storage_path=str(folder),
                failure_config=train.FailureConfig(max_failures=0),
                worker_runtime_env={"env_vars": variables},
            ),
        ).fit()

    return fit


@dataclass(frozen=True)
class _Worker:
    """What a worker does: the verb, in a process whose group Ray has joined."""

    verb: str
    words: Sequence[str]
    said: Path
    folder: str
    path: Sequence[str]

    def __call__(self) -> None:
        """Runs the verb.

        Raises:
            WorkerEnded: its exit code is not 0.
        """
        if os.path.isdir(self.folder):  # the same place on a shared disk, or on the driver's machine
            os.chdir(self.folder)
        sys.path.extend(entry for entry in self.path if entry not in sys.path)
        with said_by(self.said, int(os.environ["RANK"])).open("a", encoding="utf-8", buffering=1) as file:
            with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
                code = int(importlib.import_module(PROGRAM).main([self.verb, *self.words]))
        if code == ANOTHER_ENDED:  # the one that has the reason is to be heard first
            time.sleep(_PATIENCE)
        if code:
            raise WorkerEnded(code)
