"""Makes the mutations of a copy of the run folder, one after the other, and judges what comes of each."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.mutated.honest_copy import Honest, fingerprint
from benchmarks.mutated.kinds import Kind, kinds_of, mutators_of
from benchmarks.mutated.mutation import Mutation, Source
from ofa.errors import InvalidInput
from search.app.messages import explain

SECONDS = 30.0  # of the processor, after which a read hangs: machines do other things too
STUCK_SECONDS = 600.0  # of the wall, after which a read waits for what never comes
SPARE = 2**30  # bytes of addresses that a read may take beyond what is there
SLACK = 8 * 2**20  # bytes of pages that the allocator may take on the way, whatever is read
PER_BYTE = 32  # memory of a byte of JSON that was put in, as objects of Python
OUTCOMES = ("refused", "equal", "taken, sealed", "WRONG", "CRASHED", "HUNG", "TOO LARGE")
FAULTS = OUTCOMES[3:]


@dataclass(frozen=True)
class Outcome:
    """What came of a mutation; `told` is the line of a refusal, or what is wrong."""

    number: int
    kind: str
    mutation: str
    outcome: str
    told: str
    path: str
    seconds: float = 0.0  # of the processor, to read it
    bytes: int = 0  # of memory that it took

    @property
    def is_fault(self) -> bool:
        """Whether the product is at fault."""
        return self.outcome in FAULTS


class Hung(BaseException):
    """A read took too long; no `except Exception` of the product catches it."""


class Judge:
    """A copy of the run folder, and what each file honestly reads as."""

    def __init__(self, root: Path, seed: int, names: Sequence[str] = ()) -> None:
        """Takes the kinds of these names; without names, all."""
        self.honest, self.seed = Honest(root), seed
        self.files = {kind: files for kind, files in kinds_of(root).items() if not names or kind.name in names}
        self._kinds = list(self.files)
        self._shares = [kind.share for kind in self._kinds]
        self._values: dict[tuple[str, Path], tuple[Any, int]] = {}
        self.honest.weights  # noqa: B018 (made while everything is as it was)

    def outcomes(self, numbers: Iterable[int]) -> Iterator[Outcome]:
        """Yields what comes of each mutation of these numbers, which with the seed say which they are."""
        for number in numbers:
            yield self._outcome(number)

    def _outcome(self, number: int) -> Outcome:
        rng = random.Random(f"{self.seed}:{number}")
        (kind,) = rng.choices(self._kinds, self._shares)
        path = self.honest.root / rng.choice(self.files[kind])
        value, growth = self._honest_value(kind, path)
        source = Source(path.name, self.honest.content(path), self._other(kind, path, rng))
        mutation = _mutation(source, mutators_of(kind), rng)
        allowed = 2 * growth + SLACK + PER_BYTE * max(0, len(mutation.content) - len(source.content))
        used, start = [0], time.process_time()
        with _in_place(path, mutation):
            outcome, told = self._judged(kind, path, mutation, value, allowed, used)
        seconds, name = time.process_time() - start, str(path.relative_to(self.honest.root))
        return Outcome(number, kind.name, mutation.name, outcome, told, name, seconds, used[0])

    def _judged(
        self, kind: Kind, path: Path, mutation: Mutation, honest: Any, allowed: int, used: list[int]
    ) -> tuple[str, str]:
        try:
            with _memory(used), _alarm():
                value = kind.reader(self.honest, path)
        except Hung:
            return "HUNG", f"more than {SECONDS:.0f} s of the processor, or {STUCK_SECONDS:.0f} s of waiting"
        except MemoryError:
            return "TOO LARGE", f"more than {SPARE >> 20} MB"
        except Exception as error:
            said = explain(error)
            if said is None or not isinstance(error, InvalidInput | OSError):
                return "CRASHED", f"{type(error).__name__}: {str(error)[:200]}"
            if len(said) > 1010 or not said.isprintable():
                return "CRASHED", f"no plain line of at most 1000 characters: {said[:200]!r}"
            return _within("refused", said, used[0], allowed)
        if kind.takes == "any" or _agrees(kind, value, honest):
            return _within("equal", "", used[0], allowed)
        if mutation.sealed and not mutation.impossible:
            return _within("taken, sealed", "", used[0], allowed)
        return "WRONG", f"{'cannot be, and is' if mutation.impossible else 'differs, and is'} taken"

    def _honest_value(self, kind: Kind, path: Path) -> tuple[Any, int]:
        key = kind.name, path
        if key not in self._values:
            content, written = self.honest.content(path), path.stat()
            kind.reader(self.honest, path)  # once before, for what is made only once
            used = [0]
            with _memory(used):
                value = kind.reader(self.honest, path)
            path.write_bytes(content)
            os.utime(path, ns=(written.st_atime_ns, written.st_mtime_ns))
            self._values[key] = (_comparable(kind, value), used[0])
        return self._values[key]

    def _other(self, kind: Kind, path: Path, rng: random.Random) -> bytes:
        """Another file of the kind, in this run or another one."""
        root = self.honest.root
        files = [root / each for each in self.files[kind] if root / each != path]
        other_run = Path(str(path).replace("/outputs/tiny/", "/outputs/other/"))
        files += [other_run] if other_run.is_file() else []
        return self.honest.content(rng.choice(files) if files else path)


def _comparable(kind: Kind, value: Any) -> Any:
    return [fingerprint(item) for item in value] if kind.takes == "some" else fingerprint(value)


def _agrees(kind: Kind, value: Any, honest: Any) -> bool:
    """Whether what was read is what was written, or records of it."""
    read = _comparable(kind, value)
    return set(read) <= set(honest) if kind.takes == "some" else bool(read == honest)


def _within(outcome: str, told: str, used: int, allowed: int) -> tuple[str, str]:
    if used > allowed:
        return "TOO LARGE", f"{used / 2**20:.0f} MB, and {allowed / 2**20:.0f} are allowed"
    return outcome, told


def _mutation(source: Source, mutators: Sequence[Any], rng: random.Random) -> Mutation:
    """A mutation that changes something."""
    while True:
        mutation: Mutation | None = rng.choice(mutators)(source, rng)
        if mutation is not None and mutation.content not in (source.content, source.other):
            return mutation


@contextmanager
def _in_place(path: Path, mutation: Mutation) -> Iterator[None]:
    """Has the mutation in the file's place, and then everything as it was."""
    beside = [path.with_suffix(suffix) for suffix in (*mutation.without, ".head") if path.with_suffix(suffix).exists()]
    before = {each: (each.read_bytes(), each.stat()) for each in {path, *beside}}
    try:
        if mutation.place:
            path.unlink()
            _PLACES[mutation.place](path)
        else:
            path.write_bytes(mutation.content)
        for suffix in mutation.without:
            path.with_suffix(suffix).unlink(missing_ok=True)
        yield
    finally:
        if path.is_symlink() or (path.exists() and not path.is_dir() and not path.is_file()):
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
        for each, (content, written) in before.items():
            each.write_bytes(content)
            os.utime(each, ns=(written.st_atime_ns, written.st_mtime_ns))  # by which a report orders its searches


_PLACES: Mapping[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@contextmanager
def _alarm() -> Iterator[None]:
    """Raises Hung when the block takes too long."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hung

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, SECONDS), (signal.ITIMER_REAL, signal.SIGALRM, STUCK_SECONDS))
    before = {name: signal.signal(name, ring) for _, name, _ in timers}
    for timer, _, seconds in timers:
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for timer, name, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(name, before[name])


@contextmanager
def _memory(used: list[int]) -> Iterator[None]:
    """Puts into `used` how many bytes of pages the block took at most; Linux alone tells, 0 elsewhere."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the highest mark begins anew
        before = _status("VmRSS")
    except OSError:
        yield
        return
    try:
        yield
    finally:
        used[0] = max(0, _status("VmHWM") - before)


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def limit_addresses() -> None:
    """Lets this process take `SPARE` more bytes of addresses and no more, so that a bomb ends in this one."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + SPARE, resource.RLIM_INFINITY))
    warnings.simplefilter("ignore")
