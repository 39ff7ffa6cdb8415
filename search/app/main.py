"""The command `ofa <verb> [overrides]`; each verb is a Hydra app, imported only when it is called."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

VERBS = {
    "run": "all of it: train, profile this machine, search, extract, report",
    "train": "train a supernet, once",
    "profile": "measure a sample of subnets on a device and fit its latency model",
    "search": "find the best subnets for a device and a latency limit",
    "sweep": "show the searches over devices, limits and seeds side by side, with their spread",
    "extract": "write each chosen subnet as a separate folder: weights, ONNX, card",
    "finetune": "train each chosen subnet to the end, and put it in the place of the supernet's",
    "compare": "measure each device's chosen subnets on every device, and say which is better where",
    "prune": "make a plain network sparse or slim by a recipe",
    "compress": "make one small file of a subnet, a pruned network or your own, by a recipe of stages",
    "inspect": "show what can vary in a model, and what would free the rest",
    "report": "write one HTML page about everything found so far",
    "dashboard": "watch the searches live in a browser",
    "studio": "move shape and sparsity of a network by hand, and see at once what follows",
}

ELSEWHERE = {"train": "training", "prune": "pruning"}  # modules of search.app, the others are in search.app.verbs

HELP = """Once-for-all networks: train one supernet, take a fitted subnet for every device.

usage: ofa VERB [key=value ...]

{verbs}

  ofa VERB --help             the groups and keys of a verb, with their values and what they mean
  ofa VERB ... --cfg job      the configuration that would run
  ofa VERB ... --multirun     every combination of comma-separated values
  ofa completion              completes verbs, groups and keys in your shell (bash, zsh, fish)

examples:
  ofa run                                          everything, on the bundled digits (a few minutes)
  ofa train model=resnet20 data=cifar10 run=cifar  another model and data set, in a run of its own
  ofa inspect model=resnet20                       which layers can vary, and why others cannot
  ofa search latency_ms=0.2                        one more limit over the trained supernet
  ofa prune model=lenet300 data=mnist prune=han2015   a sparse network, 12 times fewer weights
  ofa compress                                     the chosen subnets as files of few bytes, judged as decoded
"""


def _with_path(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words, with one that is neither an override nor of an option as the path of what is opened."""
    from search.config.request import override_text

    result = []
    for before, word in zip(["", *words], words, strict=False):
        is_path = "=" not in word or Path(word).exists()  # names of pruned networks have one
        bare = is_path and not word.startswith(("-", "~")) and before not in options
        result.append(override_text("path", word) if bare else word)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code of a verb: 0, 1 (internal error), 2 (unusable input), 130 or 143 (stopped)."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    from search.app.process import write_any_character

    write_any_character()
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(HELP.format(verbs="\n".join(f"  {verb:<10} {text}" for verb, text in VERBS.items())), end="")
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"ofa-search {version('ofa-search')}")
        return 0
    verb, *overrides = arguments
    if verb == "completion":
        from search.app.completion import main as complete

        return complete(overrides, tuple(VERBS))
    if verb not in VERBS:
        from ofa.errors import nearest

        print(f"ofa: {verb!r} is not a verb; {nearest(verb, VERBS)} (see ofa --help)", file=sys.stderr)
        return 2
    from search.app.help import OPTIONS_WITH_VALUE
    from search.app.launch import launch

    if verb == "studio":
        overrides = _with_path(overrides, OPTIONS_WITH_VALUE)

    def load_task() -> Callable[[Any], Any]:
        module = importlib.import_module(f"search.app.{ELSEWHERE.get(verb, 'verbs')}")
        task: Callable[[Any], Any] = getattr(module, f"{verb}_task")
        return task

    return launch(verb, load_task, overrides)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))  # `python -m` puts the current folder first (see import_from_here)
    sys.exit(main())
