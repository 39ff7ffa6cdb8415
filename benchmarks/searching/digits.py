"""A supernet trained on the digits, whose subnets' accuracies are measured when asked and kept on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.searching.problem import Problem
from ofa.errors import InvalidInput
from search.app.main import main as ofa
from search.candidates.figures import of_candidates
from search.candidates.space import CandidateSpace
from search.device.devices import free_figures
from search.evaluation.supernet import Evaluator
from search.run.paths import RunFolder
from search.training.trained import load_trained

# Narrow enough that size costs accuracy, and with as many images to validate on as to train on: the digits are easy.
DIGITS = ("data=digits", "model=digits_net", "train.epochs=60")
NARROW = ("model.depth=20", "model.widths=[4,8,16]", "space.multiple_of=1", "data.dataset.validation=0.4")
FRACTIONS = (0.1, 0.2, 0.35)  # of the largest subnet's multiply-accumulates


def digits_problem(folder: Path, name: str = "digits", overrides: Sequence[str] = NARROW) -> Problem:
    """Returns the problem over a supernet that is trained in `folder` where it is not there yet.

    The hypervolume is between the accuracies of the smallest and the largest subnet, a tenth beyond either.
    """
    arguments = [f"outputs={folder}", f"run={name}", "train.validate_every=0", *DIGITS, *overrides]
    if ofa(["train", *arguments]) != 0:
        raise InvalidInput(f"no supernet in {folder}: its training failed")
    run = RunFolder(folder / name)
    trained = load_trained(run)
    evaluator = Evaluator(trained.supernet, trained.data, trained.task, trained.data.calibration(1024), cache=run.cache)
    space = CandidateSpace(trained.supernet.space)
    figures = of_candidates(free_figures(trained.supernet, {}))
    largest = float(figures([space.largest])["macs"][0])
    low, high = (evaluator(one.arch).score.value for one in (space.smallest, space.largest))
    return Problem(
        name,
        space,
        figures,
        lambda candidate: evaluator(candidate.arch).score.value,
        "macs",
        tuple(fraction * largest for fraction in FRACTIONS),
        floor=low - 0.1 * (high - low),
        ceiling=high + 0.1 * (high - low),
    )
