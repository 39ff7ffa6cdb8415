"""Gathers the pruned networks of a run from their cards."""

from __future__ import annotations

from ofa.records import read_record
from search.networks.folder import SubnetFolder
from search.report.data import Level, Pruned, PrunedLayer
from search.run.paths import PrunedFolder, RunFolder
from search.run.pruned_cards import LayerRow, PrunedCard
from search.run.stages import is_complete


def gather_pruned(run: RunFolder) -> tuple[Pruned, ...]:
    """Returns the pruned networks of a run that are finished, densest first for each network.

    Raises:
        InvalidInput: a damaged card; names it.
    """
    folders = [path for path in sorted(run.pruned.glob("*/")) if not path.name.endswith((".new", ".old"))]
    networks = [_pruned(PrunedFolder(path)) for path in folders if is_complete(path)]
    return tuple(sorted(networks, key=lambda network: (network.network, -network.density, network.name)))


def _pruned(files: PrunedFolder) -> Pruned:
    card = read_record(files.card, PrunedCard)
    dense, slim, metric = card.dense, card.slim, card.metrics[0]
    return Pruned(
        name=card.name,
        network=card.network,
        metric=metric,
        test=card.scores.test[metric.name],
        validation=card.scores.validation[metric.name],
        dense_test=None if dense is None else dense.scores.test[metric.name],
        density=card.density,
        weights=card.weights,
        kept=card.kept,
        kept_macs=card.kept_macs,
        slim_params=None if slim is None else slim.params,
        slim_macs=None if slim is None else slim.macs,
        layers=tuple(map(_layer, card.layers)),
        levels=tuple(Level(row.kind, row.density, row.scores.test[metric.name]) for row in card.levels),
        files=_files(files),
    )


def _files(files: PrunedFolder) -> tuple[str, ...]:
    """The paths of the portable files of the full-size and the slim network, from the report's folder."""
    folders = (SubnetFolder(files.root), SubnetFolder(files.slim))
    paths = [path for folder in folders for path in (folder.onnx, folder.source) if path.is_file()]
    return tuple(path.relative_to(files.root.parents[1]).as_posix() for path in paths)


def _layer(row: LayerRow) -> PrunedLayer:
    low, high, counts = (
        (0.0, 0.0, ()) if row.histogram is None else (row.histogram.low, row.histogram.high, row.histogram.counts)
    )
    return PrunedLayer(row.name, row.weights, row.kept, low, high, counts)
