"""A supernet in memory as what verbs read back from a run: its own run's, or one that has none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.records import read_record
from ofa.saving import plain_rules
from search.evaluation.supernet import supernet_card
from search.run.paths import RunFolder, SupernetFolder
from search.run.stages import hash_of, is_complete
from search.run.stored_inputs import begin_with, check_same, read_stored_config
from search.run.training_cards import SupernetCard
from search.training.trained import Trained


def trained_in(run: RunFolder, supernet: ofa.Supernet, data: Dataset, calibration_images: int) -> Trained:
    """Returns the supernet and the data as a search takes them, with what is known of them in the run.

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
        return Trained(supernet, data, read_stored_config(files.config), card)
    begin_with(data, run.root, f"delete {run.root} to begin anew")
    config: dict[str, Any] = {
        "model": None,
        "data": {"dataset": None, "augment": None},
        "space": {"_target_": "ofa.SpaceRules", **plain_rules(supernet.rules)},
        "train": None,
        "seed": 0,
    }
    return Trained(supernet, data, config, supernet_card(supernet, data, calibration_images, hash_of(config), 0.0))


def check_workers_can_load(workers: int, run: RunFolder) -> None:
    """Checks that processes beside this one can build the supernet again.

    Raises:
        InvalidInput: several workers, and a run without the supernet.
    """
    if workers > 1 and not is_complete(run.supernet):
        raise InvalidInput(
            f"workers={workers}: each builds the supernet again from {Path(run.supernet)}, which is not there: "
            f"search.adopt(supernet, data, run={run.name!r}) first"
        )
