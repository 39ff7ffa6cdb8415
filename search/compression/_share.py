"""The stage `share`: the weights of a layer take few values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from ofa.compress import share as shared
from search.compression.compressed import Compressed, StageContext


def share(
    compressed: Compressed,
    context: StageContext,
    *,
    bits: int | Mapping[str, int] | None = None,
    levels: int | Mapping[str, int] | None = None,
    start: str = "linear",
    keep: Sequence[str] = (),
) -> Compressed:
    """Returns the network whose weights take few values, a codebook for each tensor; see `ofa.compress.share`.

    Args:
        bits: a tensor has at most 2 ** bits values; a number for all matrices and kernels, or numbers by glob.
        levels: in place of bits, how many values.
        start: of k-means: "linear", "density", "random" or "exact"; or "integers".
        keep: globs of tensors or layers that are not shared.

    Raises:
        InvalidInput: not exactly one of bits and levels, one out of range, or a glob that matches nothing.
    """
    after = compressed.copied()
    generator = torch.Generator().manual_seed(context.training.seed)
    sharing = shared(after.network, bits, levels=levels, start=start, keep=keep, generator=generator)
    sharing.put(after.network)
    return replace(after, sharing=sharing)
