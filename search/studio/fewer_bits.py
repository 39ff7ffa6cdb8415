"""What the studio says of a subnet that computes in fewer bits: here it is shaped and scored in float32."""

from __future__ import annotations

from collections.abc import Callable

from ofa.arch import Arch
from ofa.precisions import Int8Layers
from ofa.records import read_record
from search.candidates.figures import int8_groups
from search.candidates.space import Candidate
from search.networks.folder import SubnetFolder
from search.run.cards import SubnetCard, TunedCard
from search.run.paths import RunFolder, SearchFolder
from search.subnets.refined import find_refined


def fewer_bits_notes(card: SubnetCard, folder: SubnetFolder) -> tuple[str, ...]:
    """Returns a line about the file in fewer bits that lies beside a subnet; none where it has none."""
    low = card.quantized
    if low is None or low.refused is not None or not card.metrics:
        return ()
    metric, groups = card.metrics[0], int8_groups(card.settings or {})
    where = f" ({', '.join(groups)})" if groups else ""
    score = f"{metric.heading('validation')} {metric.text(low.scores.validation[metric.name])}"
    file = folder.quantized(low.precision).name
    here = "Here the network is in float32, and so are its score and what is extracted."
    return (f"{file} computes in {low.precision}{where}, with {score}. {here}",)


def precision_of_weights(card: SubnetCard, arch: Arch, run: RunFolder) -> Callable[[str], str | None]:
    """Returns what a weight computes in, by its name, in the file in fewer bits; None where there is none.

    Of a subnet with a precision for each group of layers, the search that refined it knows which layers they are; where
    its folder is gone, no weight's is known.
    """
    low = card.quantized
    if low is None or low.refused is not None:
        return lambda _: None
    if not int8_groups(card.settings or {}):
        return lambda _: low.precision
    refined = None
    if card.search is not None and (files := SearchFolder(run.search(card.search))).root.is_dir():
        refined = find_refined(Candidate(arch, tuple((card.settings or {}).items())), files)
    if refined is None:
        return lambda _: None
    layers = Int8Layers(read_record(refined.card, TunedCard).int8_layers)
    return lambda name: "int8" if layers.holds(name.rpartition(".")[0]) else "float32"
