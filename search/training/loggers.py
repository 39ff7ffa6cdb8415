"""The loggers of a configuration: made before any work begins, one set for each piece of work."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from ofa.loggers import Logger, tolerant
from ofa.processes import processes
from search.config.rules import Target
from search.objects import make_partial
from search.run.paths import RunFolder
from search.run.progress import say

LOGS = "logs"  # the folder of a run that they write to

# (name of a piece of work, such as "train" or "search/pi5") -> its loggers
MakeLoggers: TypeAlias = Callable[[str], list[Logger]]


def no_loggers(name: str) -> list[Logger]:
    """Returns none."""
    return []


def loggers_of(config: Mapping[str, Target], run: RunFolder) -> MakeLoggers:
    """Returns what makes the loggers of a `logger` group, in the folder of a run; an error of one is a warning alone.

    Of processes that train together the first has them.

    Raises:
        InvalidInput: a package that is not installed, or arguments that a `_target_` does not take.
    """
    if not processes().is_first:
        return no_loggers
    makers = [make_partial(f"logger.{name}", target) for name, target in config.items()]

    def make(name: str) -> list[Logger]:
        return [tolerant(maker(run.root / LOGS, name), _say) for maker in makers]

    make("train")  # to see whether they can be made; they write nothing yet
    return make


def log_rows(loggers: Iterable[Logger], rows: Iterable[Mapping[str, Any]]) -> None:
    """Logs rows that are all there, in place of those that were: numbered from 1."""
    rows = list(rows)
    for logger in loggers:
        logger.open(fresh=True)
        for number, row in enumerate(rows, start=1):
            logger.log(number, row)
        logger.close()


def _say(text: str) -> None:
    say(f"logger: warning: {text}")
