"""A small vision transformer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.models.sizes import check_positive, check_shape
from ofa.models.transformer_block import TransformerBlock, initialize_transformer_


class ViT(nn.Module):
    """A transformer on square patches: images (N, C, H, W) to logits (N, num_classes), from the mean over patches.

    Sources: Dosovitskiy et al. 2020, 2010.11929; the mean in place of a class token: Beyer et al. 2022, 2205.01580.

    Args:
        input_shape: (C, H, W); H and W are multiples of `patch`.
        num_classes: of the logits.
        patch: pixels along a side.
        width: of the embedding.
        depth: blocks.
        heads: of attention, of `head_size` each.
        head_size: channels of a head.
        hidden: of the perceptrons; 4 times the width where None.

    Raises:
        InvalidInput: a size that is not a whole number above 0, or images that patches do not fill.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (1, 8, 8),
        num_classes: int = 10,
        patch: int = 2,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        head_size: int = 16,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        channels, height, across = check_shape("ViT", input_shape)
        inner = 4 * width if hidden is None else hidden
        check_positive("ViT", num_classes=num_classes, patch=patch, width=width, depth=depth, heads=heads)
        check_positive("ViT", head_size=head_size, hidden=inner)
        if height % patch or across % patch:
            sizes = [size for size in range(1, min(height, across) + 1) if not height % size and not across % size]
            raise InvalidInput(f"ViT patch={patch}: does not divide images of {height}x{across}; choices: {sizes}")
        self.patches = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.zeros((height // patch) * (across // patch), width))
        self.blocks = nn.ModuleList(
            TransformerBlock(width, heads, head_size, inner, causal=False) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        initialize_transformer_(self)
        nn.init.normal_(self.positions, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """Returns logits (N, num_classes)."""
        features = self.patches(images).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            features = block(features)
        logits: Tensor = self.head(self.norm(features).mean(1))
        return logits
