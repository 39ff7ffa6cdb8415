"""From the cards of pruned networks to what the report shows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ofa.errors import InvalidInput
from ofa.paths import read_json
from search.paths import PrunedFolder, RunFolder
from search.report.data import Level, Pruned, PrunedLayer
from search.stages import is_complete


def gather_pruned(run: RunFolder) -> tuple[Pruned, ...]:
    """Returns the pruned networks of a run that are finished, the densest of each network first.

    Raises:
        InvalidInput: a damaged card, by name.
    """
    folders = [path for path in sorted(run.pruned.glob("*/")) if not path.name.endswith((".new", ".old"))]
    found = [_pruned(PrunedFolder(path)) for path in folders if is_complete(path)]
    return tuple(sorted(found, key=lambda one: (one.network, -one.density, one.name)))


def _pruned(files: PrunedFolder) -> Pruned:
    card = read_json(files.card)
    try:
        return _from_card(card)
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"{files.card} is damaged (no {error}); prune again with force=true") from None


def _from_card(card: Mapping[str, Any]) -> Pruned:
    dense, slim = card["dense"], card["slim"]
    return Pruned(
        name=card["name"],
        network=card["network"],
        test_accuracy=card["accuracy"]["test"],
        validation_accuracy=card["accuracy"]["validation"],
        dense_test_accuracy=None if dense is None else dense["accuracy"]["test"],
        density=card["density"],
        weights=card["weights"],
        kept=card["kept"],
        kept_macs=card["kept_macs"],
        slim_params=None if slim is None else slim["params"],
        slim_macs=None if slim is None else slim["macs"],
        layers=tuple(_layer(row) for row in card["layers"]),
        levels=tuple(Level(row["kind"], row["density"], row["accuracy"]["test"]) for row in card["levels"]),
    )


def _layer(row: Mapping[str, Any]) -> PrunedLayer:
    histogram = row["histogram"] or {"low": 0.0, "high": 0.0, "counts": []}
    return PrunedLayer(
        row["name"], row["weights"], row["kept"], histogram["low"], histogram["high"], tuple(histogram["counts"])
    )
