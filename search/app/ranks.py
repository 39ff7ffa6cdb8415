"""Verbs that torchrun starts several times: those that train share the work, the others run alone or not at all."""

from __future__ import annotations

import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from ofa.errors import InvalidInput
from ofa.processes import ALONE, Processes, one_line, processes
from search.engine import Command
from search.engine.command import ANOTHER_ENDED, STARTED_VARIABLE, of_training
from search.objects import make_partial
from search.run.progress import progress_shown

TOGETHER = {"train": "train", "prune": "dense", "finetune": "finetune"}  # with the group of a training's settings
_PATIENCE, _STEP = 2.0, 0.02  # seconds, for what the first process has to say of an error
_LONGEST_WAIT = timedelta(days=1)  # for the first process, which evaluates and writes alone; launchers end the others


def rank() -> int:
    """Returns the number of this process among those that a launcher started together; 0 is the first, or alone."""
    try:
        return launched().rank
    except InvalidInput:  # see `refusal`
        return 0


def refusal(verb: str, overrides: Sequence[str]) -> str:
    """Returns why several processes cannot run a verb, in one line; "" where they can, or there is one alone."""
    try:
        group = launched()
    except InvalidInput as error:
        return str(error)
    if group.alone:
        return ""
    if verb not in TOGETHER:
        return (
            f"this verb is one process, and was started as {group.count} (WORLD_SIZE): start it without torchrun; "
            f"those that share their work are {', '.join(TOGETHER)}"
        )
    if {"-m", "--multirun"} & set(overrides):
        return f"--multirun is many trainings, and {group.count} processes share one: start each by torchrun"
    return ""


@contextmanager
def together(verb: str, request: Any) -> Iterator[None]:
    """Joins the processes that a launcher started into one group; all but the first are silent."""
    if launched().alone or verb not in TOGETHER:
        yield
        return
    with process_group(getattr(request, TOGETHER[verb]).device) as group:
        if group.is_first:
            yield
            return
        with progress_shown(False), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield


def silence() -> None:
    """Lets this process print nothing to standard output, which the first one prints to."""
    sys.stdout = open(os.devnull, "w")


def is_said_elsewhere(error: Exception, *, joined: bool) -> bool:
    """Returns whether another process tells the user of an error; before the group is joined all have the same."""
    if rank() == 0:
        return False
    return not joined or isinstance(error, OtherProcessFailed)


def exit_code(error: Exception) -> int:
    """Returns the exit code of an error that the user can fix: 2, or 75 where another process has its reason."""
    return ANOTHER_ENDED if isinstance(error, OtherProcessEnded) else 2


def launched() -> Processes:
    """Returns the processes that a launcher, such as torchrun, started this one among, by its environment.

    Raises:
        InvalidInput: variables that are no numbers.
    """
    names = ("RANK", "WORLD_SIZE")
    if not all(name in os.environ for name in (*names, "MASTER_ADDR")):
        return ALONE
    try:
        rank, count = (int(os.environ[name]) for name in names)
    except ValueError:
        given = ", ".join(f"{name}={os.environ[name]!r}" for name in names)
        raise InvalidInput(f"{given} of the environment must be whole numbers, as torchrun sets them") from None
    return Processes(rank, count) if count > 1 else ALONE


@contextmanager
def process_group(device: str = "cpu") -> Iterator[Processes]:
    """Yields the launched processes as an initialized group, gloo on CPUs and NCCL between GPUs: theirs, or one of it.

    Raises:
        InvalidInput: fewer GPUs on this machine than processes, or what the block raises.
        OtherProcessFailed: in a process but the first, an error that the first has too.
        OtherProcessEnded: another process ended.
    """
    if launched().alone:
        yield processes()
        return
    from torch.distributed import PrefixStore  # type: ignore[attr-defined]
    from torch.distributed.distributed_c10d import _get_default_store
    from torch.distributed.rendezvous import rendezvous

    joins = processes().alone  # those of Ray Train are a group already
    backend = _backend(device)
    if joins:
        # Its functions keep the group that there is when they are imported as a default: imported later, they kept this
        # one beyond its end, and a thread of it that outlives the interpreter aborts the process, now and then.
        importlib.import_module("torch.distributed.nn.functional")
        store, rank, count = next(rendezvous("env://"))
        store = PrefixStore("ofa", store)
        torch.distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=_LONGEST_WAIT)
    else:
        store, rank, count = _get_default_store(), launched().rank, launched().count
        if backend not in ("gloo", torch.distributed.get_backend_config()):
            raise InvalidInput(f"device={device} was given to workers without GPUs: give engine.gpus_per_worker=1")
    try:
        yield processes()
    except Exception as error:  # the group is left to end with the process, since others may not answer any more
        text, follows = one_line(error), _is_lost_connection(error)
        said = _said_by_first(store, rank, count, text)
        if follows:
            raise OtherProcessEnded("another process of the training ended; it says why, or was killed") from error
        if rank == 0:
            raise
        if said == text:
            raise OtherProcessFailed(text) from error
        raise InvalidInput(f"process {rank} of {count}: {text}") from error
    if joins:
        torch.distributed.destroy_process_group()


def _backend(device: str) -> str:
    """The backend of a group; sets the GPU of this process where it has one.

    Raises:
        InvalidInput: fewer GPUs on this machine than processes.
        OtherProcessFailed: the same, in a process but the first of the machine.
    """
    if torch.device(device).type != "cuda":
        return "gloo"
    local, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    wanted = int(os.environ.get("LOCAL_WORLD_SIZE", launched().count))
    if wanted > there:
        text = (
            f"device={device}: {wanted} processes of this machine share {there} GPUs, and each needs its own: "
            f"start at most {there} with --nproc_per_node, or give device=cpu"
        )
        raise InvalidInput(text) if local == 0 else OtherProcessFailed(text)
    torch.cuda.set_device(local)
    return "cpu:gloo,cuda:nccl"


class OtherProcessFailed(InvalidInput):
    """An error that another process tells the user."""


class OtherProcessEnded(OtherProcessFailed):
    """The connection to another process was lost: it ended with an error of its own, or was killed."""


def _said_by_first(store: Any, rank: int, count: int, text: str) -> str | None:
    """The error of the first process, if it soon has one; that one says `text` and waits until the others know."""
    until = time.monotonic() + _PATIENCE
    said = text if rank == 0 else None
    try:
        if rank == 0:
            store.set("error", text)
        while time.monotonic() < until:
            if rank == 0 and store.add("read", 0) >= count - 1:
                break
            if rank > 0 and store.check(["error"]):
                said = str(store.get("error").decode())
                store.add("read", 1)
                break
            time.sleep(_STEP)
    except RuntimeError:  # the store is gone, with whom held it
        pass
    return said


def _is_lost_connection(error: Exception) -> bool:
    lost = isinstance(error, torch.distributed.DistError)
    return lost or (isinstance(error, RuntimeError) and "gloo/" in str(error))


def started(verb: str, request: Any) -> Callable[[Sequence[str]], int] | None:
    """Returns a function of the overrides that has the engine of a request train; None where this process does.

    Raises:
        InvalidInput: the engine is one of searches alone, or other processes share this training already.
    """
    if verb not in TOGETHER or request.engine is None or STARTED_VARIABLE in os.environ:
        return None
    engine = of_training(request.engine)
    name = str(request.engine["_target_"]).rpartition(".")[2]
    if not launched().alone:
        raise InvalidInput(f"engine={name} starts processes itself: give it without torchrun")
    train = make_partial("engine", engine)
    folder = Path(request.outputs).resolve() / ".engine"
    return lambda words: int(train(Command(verb, tuple(words), folder)))
