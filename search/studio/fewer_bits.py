"""What the studio says of a subnet that computes in fewer bits: here it is shaped and scored in float32."""

from __future__ import annotations

from search.candidates.figures import int8_groups
from search.networks.folder import SubnetFolder
from search.run.cards import SubnetCard


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
