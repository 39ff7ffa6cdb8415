"""Hydra around a verb: composes its configuration, runs its task, and says in one line what went wrong."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ofa.errors import InvalidInput
from search.app.messages import explain
from search.paths import conf_dir
from search.progress import PLAIN_VARIABLE, say

Task = Callable[[DictConfig], Any]
OPTIONS_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--package", "-p", "--info", "-i"),
)
TRACEBACK_VARIABLES = ("HYDRA_FULL_ERROR", "OFA_TRACEBACK")


class JobFailed(Exception):
    """A job of a multirun that failed in a process of its own, carried home.

    Its arguments are its exit code, what it said, its configuration, and Hydra's callbacks as plain values.
    """

    @property
    def code(self) -> int:
        """The exit code of the job."""
        return int(self.args[0])

    @property
    def said(self) -> str:
        """The line that the job ended with, wherever its own lines went."""
        return str(self.args[1])

    def end_multirun(self) -> None:
        """Does what is done at the end of a multirun: Hydra leaves it out after a job that failed elsewhere."""
        _, _, config, callbacks = self.args
        for callback in callbacks.values():
            instantiate(callback).on_multirun_end(config=config)


def launch(verb: str, load_task: Callable[[], Task], overrides: Sequence[str]) -> int:
    """Returns the exit code of one verb with Hydra overrides (2: unusable input, 130: stopped).

    In a multirun every job runs, also after one that failed, in this process or, with a launcher for that, in others.
    """
    home = os.getpid()
    asked = any(os.environ.get(name, "0") not in ("", "0") for name in TRACEBACK_VARIABLES)
    codes: list[int] = []

    def guarded(config: DictConfig) -> None:
        job = "" if os.getpid() == home else _begin_in_worker(verb)
        try:
            task = load_task()
            _use_threads(config)
            task(config)
        except Exception as error:
            code, said = _print_error(f"{verb}{job}", error, asked)
            if job:  # the list of codes is not shared
                raise JobFailed(code, said, config, _callbacks()) from None
            codes.append(code)

    _import_from_here()
    arguments, sys.argv = sys.argv, [f"ofa {verb}", *overrides_first(overrides)]
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")  # progress is shown by us
    previous = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(guarded)()
    except KeyboardInterrupt:
        print(f"\nofa {verb}: stopped; the same command continues where it was", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has seen enough
        sys.stdout = open(os.devnull, "w")  # so that no flush at the end fails again
    except SystemExit as stop:  # --help, and argparse's own errors
        codes.append(stop.code if isinstance(stop.code, int) else 2)
    except JobFailed as failed:  # the first of those in other processes
        codes.append(failed.code)
        failed.end_multirun()
        print(f"not every job ended well, this one first:\n{failed.said}", file=sys.stderr)
    except Exception as error:
        codes.append(_print_error(verb, error, asked)[0])
    finally:
        sys.argv = arguments
        if previous is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = previous
    return max(codes, default=0)


def overrides_first(arguments: Sequence[str]) -> list[str]:
    """Returns the arguments with the options behind the overrides: argparse takes these in one piece alone."""
    overrides: list[str] = []
    options: list[str] = []
    waiting = False  # for the value of an option
    for argument in arguments:
        is_option = argument.startswith("-")
        (options if is_option or waiting else overrides).append(argument)
        waiting = is_option and argument in OPTIONS_WITH_VALUE
    return overrides + options


def _import_from_here() -> None:
    """Lets a `_target_` name a user's own module in the current folder, such as my_module.MyNet."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _begin_in_worker(verb: str) -> str:
    """Returns what names this job of a multirun in messages, after preparing its process and saying that it begins."""
    _import_from_here()
    os.environ[PLAIN_VARIABLE] = "1"  # bars of several processes would write over each other
    hydra = HydraConfig.get()
    job = f" (job {hydra.job.num}: {hydra.job.override_dirname})"
    say(f"ofa {verb}{job}: begins")
    return job


def _callbacks() -> Any:
    """Returns the callbacks that Hydra has in this process, as plain values that another one can read."""
    return OmegaConf.to_container(HydraConfig.get().callbacks, resolve=True)


def _use_threads(config: DictConfig) -> None:
    """Sets how many threads PyTorch uses, where the verb has the key."""
    if "threads" in config:
        import torch

        threads = config.threads
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise InvalidInput(f"threads={threads!r} must be a whole number, at least 1")
        torch.set_num_threads(threads)


def _print_error(verb: str, error: Exception, with_traceback: bool) -> tuple[int, str]:
    """Returns the exit code of an error, and the line that was printed about it."""
    message = explain(error)
    if with_traceback:
        traceback.print_exception(error)
    if message is not None:
        code, line = 2, message
    else:
        hint = "" if with_traceback else " (OFA_TRACEBACK=1 shows where)"
        code, line = 1, f"unexpected {type(error).__name__}: {' '.join(str(error).split())}{hint}"
    print(f"ofa {verb}: {line}", file=sys.stderr)
    return code, f"ofa {verb}: {line}"
