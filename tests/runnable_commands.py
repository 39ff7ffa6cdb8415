"""Which commands of README.md and docs/ a test runs, and why not the others."""

from __future__ import annotations

from pathlib import Path

from tests.documentation import PAGES, Command, commands, indented, page_name

# By what a command holds, why it is not run.
NOT_RUN = {
    "ofa VERB": "the form of a command",
    "...": "something is to be put there",
    "device=jetson": "its networks are measured under CUDA",
    "pi5: 30": "what it chooses is measured on the other machine: run by tests/search/app/test_remote_device.py",
    "ofa search device=pi5": "measures there, too: run by tests/search/app/test_remote_device.py",
    "ofa completion": "changes the files of a shell: run by tests/search/app/test_completion.py",
    "storage=postgresql:": "a database on another machine: tests/search/study/test_database.py has one on this",
    "engine=slurm": "needs a cluster: tests/search/engine/test_slurm.py has jobs that run here",
    "engine=ray": "needs Ray: run by tests/search/engine/test_ray.py and test_ray_training.py",
    "start=transformers": "downloads from the hub: tests/search/app/test_transformers.py has a folder",
    "logger=wandb": "needs Weights & Biases: tests/search/training/test_loggers.py has a stand-in",
    "tensorboard": "needs TensorBoard: run by tests/search/training/test_loggers.py where it is installed",
    "joint_int8_stages": "mixed networks, whose clock stands still here: tests/search/config/test_read.py",
    "device=ncnn": "a runtime of one package: run by tests/search/device/runtimes where it is installed",
}
# Commands of tutorials are run by tests/test_tutorials.py and tests/test_docs_programs.py, those of all other pages by
# tests/test_docs_commands.py.
TUTORIALS = "docs/tutorials/"


def runnable(path: Path) -> list[Command]:
    """Returns the commands of a page: lines of blocks, and those in sentences that say more than a verb."""
    lines = {*indented(path)}
    found = [each for each in commands(path) if each.words[0] == "ofa"]
    return [each for each in found if each.line in lines or len(each.words) > 2]


def why_not(command: Command) -> str | None:
    """Returns the reason why a command is not run; None where it is."""
    return next((reason for part, reason in NOT_RUN.items() if part in command.line), None)


RUNS = [path for path in PAGES if runnable(path) and not page_name(path).startswith(TUTORIALS)]
