"""The stage `finetune`: kept weights, or the values that shared ones have, trained on."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ofa.compress import sharing_of, with_codebooks, without_codebooks
from search.compression.compressed import Compressed, StageContext
from search.compression.training import stage_settings, train_stage


def finetune(
    compressed: Compressed, context: StageContext, *, epochs: int | None = None, learning_rate: float = 1.0
) -> Compressed:
    """Returns the network after training what is left of it: what is removed stays so, and what is shared too.

    Source: gradients of shared values are the sums of those of their weights, Han et al. 2016, 1510.00149, section 3.

    Args:
        epochs: None: those of `finetune`.
        learning_rate: as a multiple of that of `finetune`.

    Raises:
        InvalidInput: epochs or a rate out of range, or a loss that is not finite.
    """
    settings = stage_settings(context, epochs, learning_rate)
    if not settings.epochs or context.rehearsal:
        return compressed
    if compressed.sharing is None:
        after = compressed.copied()
        train_stage(after.network, context, settings, masks=after.masks)
        return after
    learner = with_codebooks(compressed.network, compressed.sharing)
    train_stage(learner, context, settings, masks=_unshared(compressed))
    return replace(compressed, network=without_codebooks(learner), sharing=sharing_of(learner))


def _unshared(compressed: Compressed) -> dict[str, Tensor]:
    """The masks of parameters without a codebook: those with one keep their zeros by themselves."""
    assert compressed.sharing is not None
    return {name: mask for name, mask in compressed.masks.items() if name not in compressed.sharing.tensors}
