"""A supernet and data in memory as verbs take them, with what a run knows of both."""

from __future__ import annotations

from typing import Any

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.records import read_record
from ofa.saving import plain_rules
from ofa.task import Task, classification
from search.config.rules import CalibrationExamples
from search.evaluation.supernet import supernet_card
from search.objects import build_task
from search.run.paths import RunFolder, SupernetFolder
from search.run.stages import hash_of, is_complete
from search.run.stored_inputs import DATA, begin_with, check_same, read_stored_config
from search.run.training_cards import SupernetCard
from search.run.trust import TOOLKIT_ALONE, check_stored
from search.training.trained import Trained


def task_of(run: RunFolder, data: Dataset) -> Task:
    """What the run's supernet learned; classification where the run has none.

    Raises:
        InvalidInput: data that are not of the package's types, or a task of the run that is not the toolkit's.
    """
    files = SupernetFolder(run.supernet)
    if not is_complete(files.root):
        return classification(data)
    config = read_stored_config(files.config)["task"]
    check_stored(config, TOOLKIT_ALONE, files.config)
    return build_task(config, data)


def trained_in(
    run: RunFolder, supernet: ofa.Supernet, data: Dataset, task: Task, calibration_images: CalibrationExamples
) -> Trained:
    """The supernet and the data as a search takes them, with what is known of them in the run.

    A run without a supernet of its own keeps a record of the data, so that it is gone on with the same alone.

    Raises:
        InvalidInput: the run is of another supernet or of other data.
    """
    files = SupernetFolder(run.supernet)
    if is_complete(files.root):
        card = read_record(files.card, SupernetCard)
        if card.digest != supernet.digest:
            raise InvalidInput(
                f"{files.root} is another supernet ({card.digest}, this one is {supernet.digest}): use run=NAME for "
                f"another run, or adopt this one with force=True"
            )
        check_same(data, files.root, "adopt it with force=True")
        return Trained(supernet, data, task, read_stored_config(files.config), card)
    if (run.root / DATA).exists():
        check_same(data, run.root, f"delete {run.root} to begin anew")
    config: dict[str, Any] = {
        "model": None,
        "data": {"dataset": None, "augment": None},
        "task": None,
        "space": {"_target_": "ofa.SpaceRules", **plain_rules(supernet.rules)},
        "train": None,
        "seed": 0,
    }
    card = supernet_card(supernet, data, task, calibration_images, hash_of(config), 0.0)
    begin_with(data, run.root, f"delete {run.root} to begin anew")  # not before: data that fail leave no folder
    return Trained(supernet, data, task, config, card)
