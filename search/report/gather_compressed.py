"""Gathers the compressed networks of a run from their cards."""

from __future__ import annotations

from ofa.records import read_record
from search.run.compressed_cards import CompressedCard
from search.run.compressed_folder import CompressedFolder
from search.run.paths import RunFolder
from search.run.stages import is_complete


def gather_compressed(run: RunFolder) -> tuple[CompressedCard, ...]:
    """Returns the cards of the compressed networks of a run that are finished, the smallest file first of each source.

    Raises:
        InvalidInput: a damaged card; names it.
    """
    folders = [path for path in sorted(run.compressed.glob("*/")) if not path.name.endswith((".new", ".old"))]
    cards = [read_record(CompressedFolder(path).card, CompressedCard) for path in folders if is_complete(path)]
    return tuple(sorted(cards, key=lambda card: (card.source, card.bytes, card.name)))
