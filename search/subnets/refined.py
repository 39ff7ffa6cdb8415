"""What a search refined: the fine-tuned networks in its folder, by candidate."""

from __future__ import annotations

from ofa.records import read_record
from search.candidates.space import Candidate
from search.run.cards import TunedCard
from search.run.paths import PrunedFolder, SearchFolder


def find_refined(candidate: Candidate, files: SearchFolder) -> PrunedFolder | None:
    """Returns the folder of a candidate that a search refined; None if it was not among the best."""
    for path in sorted(files.tuned("any").root.parent.glob("*/card.json")):
        card = read_record(path, TunedCard)
        if Candidate(card.arch, tuple(card.settings.items())) == candidate:
            return PrunedFolder(path.parent)
    return None
