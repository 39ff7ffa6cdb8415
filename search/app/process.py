"""The process of a verb: its terminal, its signals, and user modules that a `_target_` can name."""

from __future__ import annotations

import _thread
import codecs
import importlib.util
import io
import os
import pkgutil
import re
import signal
import sys
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

PLAIN = {"─": "-", "│": "|", "±": "+-", "×": "x", "…": "...", "→": "->", "≤": "<=", "≥": ">="}

SECONDS_BETWEEN_LOOKS = 0.5

SECONDS_TO_CLEAN_UP = 3.0

STOPS = ("SIGINT", "SIGTERM", "SIGHUP")  # of Ctrl-C, batch systems, closed terminals; Windows lacks the last


class StoppedBySignal(KeyboardInterrupt):
    """A signal that ends the program like Ctrl-C, with the same cleanup."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def write_any_character() -> None:
    """Lets both streams accept every character in any encoding of the terminal."""
    codecs.register_error("ofa_plain", _in_plain_characters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="ofa_plain")


@contextmanager
def signals_as_interrupts() -> Iterator[None]:
    """Raises `StoppedBySignal` in the block when a signal asks the process to end; ignored signals stay ignored.

    It is raised wherever the program happens to be, which may be a callback or a conversion whose errors a library
    drops (in torch, about once in two thousand stops). It is raised again then, until the block ends.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    main = threading.get_ident()
    ended = False

    def stop(number: int, frame: FrameType | None) -> None:
        error = StoppedBySignal(number)
        _thread.start_new_thread(insist, (number, weakref.ref(error)))  # takes no lock that may be held here
        try:
            raise error
        finally:
            del error  # otherwise its traceback, which has this frame, would keep it

    def insist(number: int, error: weakref.ref[StoppedBySignal]) -> None:
        while not ended:
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if error() is None and not ended:  # dropped: on its way up, something holds it
                _signal(main, number)
                return

    numbers = [getattr(signal, name) for name in STOPS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in numbers if before[number] in (signal.SIG_DFL, signal.default_int_handler)]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    finally:
        ended = True
        for number in handled:
            signal.signal(number, before[number])


def stop_with(pid: int) -> None:
    """Stops this process when its parent is gone, however it ended, since nothing would take the result.

    SLURM jobs are left alone: the batch system ends them.
    """
    name = f"stops with {pid}"
    if not hasattr(signal, "SIGUSR1") or threading.current_thread() is not threading.main_thread():
        return
    if os.environ.get("SUBMITIT_EXECUTOR") == "slurm" or name in [thread.name for thread in threading.enumerate()]:
        return
    signal.signal(signal.SIGUSR1, _stop)  # not SIGTERM, which launchers handle themselves

    def watch() -> None:
        while _is_alive(pid):
            time.sleep(SECONDS_BETWEEN_LOOKS)
        _thread.interrupt_main(signal.SIGUSR1)
        time.sleep(SECONDS_TO_CLEAN_UP)
        os._exit(128 + signal.SIGTERM)  # otherwise a launcher's process would wait for more work

    threading.Thread(target=watch, name=name, daemon=True).start()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def say_stopped(verb: str, stop: KeyboardInterrupt, *, silent: bool = False) -> int:
    """Returns the exit code of a verb that was stopped, 128 plus the signal number, after printing so if not silent."""
    with suppress(OSError):  # the terminal may be gone
        if not silent:
            print(f"\nofa {verb}: stopped; the same command continues where it was", file=sys.stderr, flush=True)
    return 128 + (stop.number if isinstance(stop, StoppedBySignal) else signal.SIGINT)


def _signal(thread: int, number: int) -> None:
    if hasattr(signal, "pthread_kill"):  # it also ends a wait
        signal.pthread_kill(thread, number)
    else:
        _thread.interrupt_main(signal.Signals(number))


def _stop(number: int, frame: FrameType | None) -> None:
    raise StoppedBySignal(number)


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


OWN_PACKAGES = ("ofa", "search")  # the shipped configurations are full of them

SAFE_PATH = "PYTHONSAFEPATH"  # keeps Python from putting a folder first; child processes inherit it


def import_from_here() -> None:
    """Appends the current folder to the module path, so that a `_target_` can name my_module.MyNet.

    It comes last, also in child processes, so that a user's profile.py does not replace Python's.
    """
    os.environ[SAFE_PATH] = "1"
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def hidden_module_text(target: str) -> str:
    """Returns a line about a module in the current folder that an installed one hides from a `_target_`, or ""."""
    name = target.partition(".")[0]
    mine = next((path for path in (Path(f"{name}.py"), Path(name, "__init__.py")) if path.is_file()), None)
    if mine is None:
        return ""
    origin = _origin(name)
    if origin is None or (origin and Path(origin).resolve() == mine.resolve()):
        return ""
    return (
        f"{name} in {target} is the installed module {origin or 'of Python itself'}, which comes before {mine} in the "
        f"current folder: give your module another name"
    )


def hidden_modules(config: Any) -> list[str]:
    """Returns the lines of `hidden_module_text` about the targets of a plain configuration, one per module.

    Only about targets that the installed module also has: for others the import error will tell.
    """
    lines = {
        target.partition(".")[0]: text
        for target in _targets(config)
        if (text := hidden_module_text(target)) and _exists(target)
    }
    return [text for name, text in lines.items() if name not in OWN_PACKAGES]


def hidden_target_of(message: str) -> str:
    """Returns the line of `hidden_module_text` about the first dotted name in quotes in an error's message, or ""."""
    names = re.findall(r"'([A-Za-z_][\w.]*\.\w+)'", message)
    return next((text for name in names if (text := hidden_module_text(name))), "")


def _exists(target: str) -> bool:
    try:
        pkgutil.resolve_name(target)
    except Exception:  # an import can raise anything
        return False
    return True


def _origin(name: str) -> str | None:
    """The file of the module that `name` imports; "" for a built-in one, None if there is none."""
    module = sys.modules.get(name)
    if module is not None:
        return getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", [])), "")
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    return spec.origin if spec.has_location and spec.origin else ""


def _targets(config: Any) -> Iterator[str]:
    if isinstance(config, Mapping):
        if isinstance(target := config.get("_target_"), str):
            yield target
        config = list(config.values())
    if isinstance(config, Sequence) and not isinstance(config, str):
        for inner in config:
            yield from _targets(inner)
