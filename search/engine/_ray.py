"""engine=ray: evaluators are actors of a Ray cluster, on one machine or on many."""

from __future__ import annotations

import importlib
import importlib.util
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ofa.errors import InvalidInput, is_number
from search.candidates.space import Work
from search.engine.engine import TRIES_AGAIN, Engine, MakeEngine, Message, Source, serve
from search.engine.team import check_counts, team_of
from search.engine.timing import all_of_timing, share_of_timing

NEEDED = "engine=ray needs Ray: pip install 'ofa-search[ray]', or leave it out"
LOCAL, AUTO = "local", "auto"  # addresses: a cluster for this search alone, and the one that this machine is in


@contextmanager
def ray(
    source: Source,
    *,
    address: str = AUTO,
    workers: int | None = None,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
    retries: int = TRIES_AGAIN,
) -> Iterator[Engine]:
    """Gives the engine of `workers` actors of a Ray cluster.

    Ray places them where the cluster has what each needs, as it comes. What evaluators share is put into the object
    store, which keeps it once on each machine. An actor is told its GPUs by CUDA_VISIBLE_DEVICES.

    Args:
        source: each actor makes its own evaluator of it.
        address: "auto", "local", or host:port of a cluster; without effect where this process is in one already.
        workers: how many; None: one.
        cpus_per_worker: cores that each is given.
        gpus_per_worker: GPUs that each is given; a fraction shares one.
        retries: how often a candidate is tried again whose actor died; after that it has failed.

    Raises:
        InvalidInput: Ray is not installed, no cluster is at the address, or it has too little for one actor; or an
            option out of range.
    """
    workers = 1 if workers is None else workers
    check_counts(workers, retries)
    check_shares(cpus_per_worker, gpus_per_worker)
    with cluster(address) as library:
        there = library.cluster_resources()
        for name, kind, value in (("cpus", "CPU", cpus_per_worker), ("gpus", "GPU", gpus_per_worker)):
            if value > there.get(kind, 0):
                raise InvalidInput(
                    f"engine.{name}_per_worker={value:g}: the cluster has {there.get(kind, 0):g} {kind}s in all"
                )
        actors = _Actors(library, source, cpus_per_worker, gpus_per_worker)
        with team_of(actors, workers, retries) as engine:
            yield engine


def check_shares(cpus_per_worker: float, gpus_per_worker: float) -> None:
    """Checks what each worker is given.

    Raises:
        InvalidInput: no number, or less than 0.
    """
    for name, value in (("cpus_per_worker", cpus_per_worker), ("gpus_per_worker", gpus_per_worker)):
        if not is_number(value) or value < 0:
            raise InvalidInput(f"engine.{name}={value!r} must be a number of at least 0")


@contextmanager
def alone(make: MakeEngine) -> Iterator[None]:
    """Holds this machine for a measurement against the evaluators of an engine's cluster; of other engines nothing.

    Searches of one run keep apart by themselves (`search.run.locks`): this is for those of other runs and users, where
    the machine declares the resource `timing`. It comes before a lock of the run, which evaluators wait for.

    Raises:
        InvalidInput: no cluster is at the address any more.
    """
    address = make.keywords.get("address", AUTO) if isinstance(make, partial) and make.func is ray else LOCAL
    if address == LOCAL:  # a cluster of that search alone, which has ended
        yield
        return
    with cluster(address) as library, all_of_timing(library):
        yield


@contextmanager
def cluster(address: str) -> Iterator[Any]:
    """Gives the library, connected to a cluster; one that was begun here ends here.

    Raises:
        InvalidInput: Ray is not installed, or no cluster is at the address.
    """
    if importlib.util.find_spec("ray") is None:
        raise InvalidInput(NEEDED)
    library: Any = importlib.import_module("ray")
    if library.is_initialized():
        yield library
        return
    options = {"include_dashboard": False} if address == LOCAL else {}
    # Ray has a handler of its own, which would end the process without a word.
    in_main, on_stop = threading.current_thread() is threading.main_thread(), signal.getsignal(signal.SIGTERM)
    try:
        library.init(address=address, logging_level="ERROR", log_to_driver=False, **options)
    except Exception as error:  # of a start that takes too long it raises no class of its own
        reason = " ".join(str(error).split(". ")[0].split())
        raise InvalidInput(
            f"engine.address={address!r}: {reason}; begin a cluster by `ray start --head`, or use engine.address=local"
        ) from None
    if in_main and on_stop is not None:
        signal.signal(signal.SIGTERM, on_stop)
    try:
        yield library
    finally:
        library.shutdown()


class _Evaluator:
    """What an actor is: an evaluator in a thread, which is told one thing and says one thing in turn."""

    def __init__(self, make: Callable[[Any], Work], shared: Any, folder: str, path: Sequence[str]) -> None:
        if os.path.isdir(folder):  # the same place on a shared disk, or on the driver's machine
            os.chdir(folder)
        sys.path.extend(entry for entry in path if entry not in sys.path)
        self._heard: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._said: queue.SimpleQueue[Message] = queue.SimpleQueue()
        arguments = (partial(make, shared), self._heard.get, self._said.put)
        threading.Thread(target=serve, args=arguments, daemon=True).start()

    def begin(self) -> Message:
        """Returns the first message."""
        return self._said.get()

    def tell(self, content: Any) -> Message:
        """Returns the message that answers a candidate, or an answer."""
        self._heard.put(content)
        return self._said.get()


@dataclass(frozen=True, eq=False)
class _Actor:
    """An actor by its handle."""

    handle: Any


class _Actors:
    """Evaluators that are actors; each has one call at most that has not returned."""

    def __init__(self, library: Any, source: Source, cpus: float, gpus: float) -> None:
        self._library = library
        # An actor is not restarted: a call to one that restarts fails at once, and would count as a death of its own.
        self._class = library.remote(_Evaluator).options(
            num_cpus=cpus, num_gpus=gpus, resources=share_of_timing(library), max_restarts=0
        )
        self._arguments = (library.put(source.make), library.put(source.shared), os.getcwd(), list(sys.path))
        self._calls: dict[Any, _Actor] = {}

    def start(self) -> _Actor:
        """Returns a new actor, which begins where and when the cluster has room."""
        actor = _Actor(self._class.remote(*self._arguments))
        self._calls[actor.handle.begin.remote()] = actor
        return actor

    def tell(self, evaluator: _Actor, content: Any) -> None:
        """Sends an object to an actor."""
        self._calls[evaluator.handle.tell.remote(content)] = evaluator

    def hear(self) -> list[tuple[_Actor, Message | str]]:
        """Returns what an actor said."""
        heard: list[tuple[_Actor, Message | str]] = []
        ready, _ = self._library.wait(list(self._calls), num_returns=1)
        for call in ready:
            actor = self._calls.pop(call)
            try:
                heard.append((actor, self._library.get(call)))
            except self._library.exceptions.RayActorError:
                heard.append((actor, "killed, or its machine lost"))
        return heard

    def end(self, evaluator: _Actor) -> None:
        """Ends an actor at any moment."""
        self._calls = {call: actor for call, actor in self._calls.items() if actor is not evaluator}
        self._library.kill(evaluator.handle)
