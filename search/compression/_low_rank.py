"""The stage `low_rank`: layers as products of thinner ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ofa.compress import choose_ranks
from ofa.errors import InvalidInput
from search.compression.compressed import Compressed, StageContext
from search.networks.compressed_file import factored
from search.run.compressed_cards import Factors


def low_rank(
    compressed: Compressed,
    context: StageContext,
    *,
    rank: float | None = None,
    energy: float | None = None,
    budget: float | None = None,
    layers: Sequence[str] = ("*",),
    method: str = "svd",
) -> Compressed:
    """Returns the network with layers of low rank in parts, see `ofa.compress.factorise`; larger ones stay as they are.

    Args:
        rank: of every layer, a whole number, or a fraction of the full rank.
        energy: the share of each weight's squared norm that is kept.
        budget: the fraction of the parameters that may stay.
        layers: globs of the layers that are looked at.
        method: "svd" (a convolution becomes two), or "tucker" (three).

    Raises:
        InvalidInput: not exactly one of rank, energy and budget, values out of range, or layers whose weights were
            removed or shared before: products are dense.
    """
    if compressed.sharing is not None:
        raise InvalidInput("the stage low_rank comes before share: products of shared values are not shared")
    options = {"layers": list(layers), "method": method}
    ranks = choose_ranks(compressed.network, rank=rank, energy=energy, budget=budget, **options)  # type: ignore[arg-type]
    removed = sorted({name.rpartition(".")[0] for name in compressed.masks} & ranks.keys())
    if removed:
        raise InvalidInput(
            f"the stage low_rank comes before prune: weights of {removed[0]} are removed, and its factors would be "
            "dense; name other layers, or begin with the dense network"
        )
    factors = Factors(method=method, ranks=ranks)
    return replace(compressed, network=factored(compressed.network, factors), factors=(*compressed.factors, factors))
