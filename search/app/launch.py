"""Hydra around a verb: composes its configuration, runs its task, and reports errors in one line."""

from __future__ import annotations

import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ofa.errors import CollapseWarning
from search.app.help import OPTIONS_WITH_VALUE, verb_help
from search.app.messages import explain, user_line
from search.app.process import (
    hidden_modules,
    import_from_here,
    say_stopped,
    signals_as_interrupts,
    stop_with,
    write_any_character,
)
from search.app.ranks import exit_code, is_said_elsewhere, rank, refusal, silence, started, together
from search.config.read import read_request
from search.config.request import Request
from search.config.verbs import REQUESTS
from search.run.contents import explain as explain_outputs
from search.run.paths import conf_dir
from search.run.progress import PLAIN_VARIABLE, recorded_command, say


def in_multirun() -> bool:
    """Whether this is a job of a multirun; other jobs may then work on the same stage, and are waited for."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def is_first_job() -> bool:
    """Whether this is a run by itself, or the first job of a multirun, whose rows make one table."""
    return not in_multirun() or int(HydraConfig.get().job.num) == 0


Task = Callable[[Any], Any]
WATCHED = (
    "run",
    "train",
    "profile",
    "search",
    "extract",
    "finetune",
    "compare",
    "prune",
    "compress",
)  # verbs of stages
LONGEST_COMMAND = 10_000  # characters, of a stamp's text
TRACEBACK_VARIABLES = ("HYDRA_FULL_ERROR", "OFA_TRACEBACK")


class JobFailed(Exception):
    """A job of a multirun that failed in a separate process, as sent to the parent.

    Its arguments are its exit code, its message, its configuration, and Hydra's callbacks as plain values.
    """

    @property
    def code(self) -> int:
        """The exit code of the job."""
        return int(self.args[0])

    @property
    def message(self) -> str:
        """The last line of the job, wherever its own output went."""
        return str(self.args[1])

    def end_multirun(self) -> None:
        """Calls the end-of-multirun callbacks, which Hydra skips after a failed job in another process."""
        _, _, config, callbacks = self.args
        for callback in callbacks.values():
            instantiate(callback).on_multirun_end(config=config)


def launch(verb: str, load_task: Callable[[], Task], overrides: Sequence[str]) -> int:
    """Returns the exit code of one verb with Hydra overrides (2: unusable input, 130 or 143: stopped).

    It is 75 where another process, whose work this one shares, ended and has the reason.
    In a multirun every job runs, even after a failed one; in this process or, with a suitable launcher, in others.
    """
    if refused := refusal(verb, overrides):
        if rank() == 0:
            print(f"ofa {verb}: {refused}", file=sys.stderr)
        return 2
    if rank():
        silence()
    home = os.getpid()
    with_traceback = any(os.environ.get(name, "0") not in ("", "0") for name in TRACEBACK_VARIABLES)
    codes: list[int] = []

    def guarded(config: DictConfig) -> None:
        job = "" if os.getpid() == home else _begin_in_worker(verb, home)
        joined = False
        try:
            for line in hidden_modules(OmegaConf.to_container(config)):
                say(f"ofa {verb}: {line}")
            warnings.simplefilter("ignore", CollapseWarning)  # verbs print these themselves
            task = load_task()
            request = read_request(config, REQUESTS[verb])
            if (train := started(verb, request)) is not None:
                if code := train(_words(overrides)):
                    codes.append(code)
                return
            _use_threads(request.threads)
            joined = True
            # By functions of modules alone: this one is sent to other processes, and a context variable cannot be.
            with recorded_command(_command_line(verb, overrides)), together(verb, request), _watched(verb, request):
                task(request)
            if rank() == 0:
                explain_outputs(Path(request.outputs))
        except Exception as error:
            if is_said_elsewhere(error, joined=joined):
                codes.append(exit_code(error))
                return
            code, message = _print_error(f"{verb}{job}", error, with_traceback, str(config.get("outputs", "")))
            if job:  # the list of codes is not shared
                raise JobFailed(code, message, config, _callbacks()) from None
            codes.append(code)

    arguments, sys.argv = sys.argv, [f"ofa {verb}", *overrides_first(overrides)]
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # verbs show their own progress
    previous = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        with signals_as_interrupts():
            import_from_here()
            if {"-h", "--help"} & set(overrides):
                print(verb_help(verb, overrides))
                return 0
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(guarded)()
    except KeyboardInterrupt as stop:
        return say_stopped(verb, stop, silent=rank() > 0)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")  # so that no flush at the end fails again
    except SystemExit as stop:  # --help, and argparse's own errors
        codes.append(stop.code if isinstance(stop.code, int) else 2)
    except JobFailed as failed:  # the first that failed in another process
        codes.append(failed.code)
        failed.end_multirun()
        print(f"some jobs failed, this one first:\n{failed.message}", file=sys.stderr)
    except Exception as error:
        said = is_said_elsewhere(error, joined=False)
        codes.append(2 if said else _print_error(verb, error, with_traceback)[0])
    finally:
        sys.argv = arguments
        if previous is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = previous
    return max(codes, default=0)


@contextmanager
def _watched(verb: str, request: Request) -> Iterator[None]:
    """Keeps the live page of a run while a verb works on it."""
    if verb not in WATCHED or rank() > 0:
        yield
        return
    from search.report.live import live

    with live(request.folder.live, f"ofa {verb}, run {request.run}"):
        yield


def _words(arguments: Sequence[str]) -> list[str]:
    """The arguments that do the work of this job alone."""
    ordered = overrides_first(arguments)
    given = [argument for argument in ordered if argument not in ("--multirun", "-m")]
    if not in_multirun():
        return given
    # its own values in place of the lists of them
    options = next((index for index, argument in enumerate(ordered) if argument.startswith("-")), len(ordered))
    return [*HydraConfig.get().overrides.task, *(word for word in ordered[options:] if word in given)]


def _command_line(verb: str, arguments: Sequence[str]) -> str:
    """The command line that does the work of this job alone, as a shell reads it; empty where it is endless."""
    # A run holds no path of its own place.
    words = [word for word in _words(arguments) if not word.startswith("outputs=")]
    line = shlex.join(["ofa", verb, *words])
    return line if len(line) < LONGEST_COMMAND else ""


def overrides_first(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with the options after the overrides, which argparse only accepts in one piece."""
    overrides: list[str] = []
    options: list[str] = []
    waiting = False  # for the value of an option
    for argument in arguments:
        is_option = argument.startswith("-")
        (options if is_option or waiting else overrides).append(argument)
        waiting = is_option and argument in OPTIONS_WITH_VALUE
    return overrides + options


def _begin_in_worker(verb: str, home: int) -> str:
    """Returns the label of this job of a multirun for messages, after preparing its process and announcing it."""
    import_from_here()
    stop_with(home)
    write_any_character()
    os.environ[PLAIN_VARIABLE] = "1"  # bars of several processes would write over each other
    hydra = HydraConfig.get()
    job = f" (job {hydra.job.num}: {hydra.job.override_dirname})"
    say(f"ofa {verb}{job}: begins")
    return job


def _callbacks() -> Any:
    """Returns Hydra's callbacks in this process as plain values, which another process can read."""
    return OmegaConf.to_container(HydraConfig.get().callbacks, resolve=True)


def _use_threads(threads: int) -> None:
    """Sets how many threads PyTorch uses."""
    import torch

    torch.set_num_threads(threads)


def _print_error(verb: str, error: Exception, with_traceback: bool, where: str = "") -> tuple[int, str]:
    """Returns the exit code of an error, and the line that was printed about it; `where` is the folder of outputs."""
    message = explain(error, where)
    if with_traceback:
        traceback.print_exception(error)
    if message is not None:
        code, line = exit_code(error), message
    else:
        hint = "" if with_traceback else " (OFA_TRACEBACK=1 shows where)"
        own = user_line(error)
        at = f" at {own}" if own else ""
        said = ", ".join([" ".join(str(error).split()), *getattr(error, "__notes__", ())])
        code, line = 1, f"unexpected {type(error).__name__}{at}: {said}{hint}"
    print(f"ofa {verb}: {line}", file=sys.stderr)
    return code, f"ofa {verb}: {line}"
