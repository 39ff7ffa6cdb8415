"""A small GPT: the next token of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.models.sizes import check_positive
from ofa.models.transformer_block import TransformerBlock, initialize_transformer_

Cache: TypeAlias = tuple[tuple[Tensor, Tensor], ...]


class GPT(nn.Module):
    """A causal transformer: token ids (N, T) to logits (N, num_classes) of what follows the last of them.

    Or, with `every_token`, to logits (N, T, num_classes) of what follows each: what a language model learns from.

    Source: Radford et al. 2019, "Language models are unsupervised multitask learners", with fewer and smaller layers.

    Args:
        input_shape: (T,), the length of every text.
        num_classes: of the label; where it is the next token, the number of tokens.
        vocabulary: the number of tokens; as many as classes where None.
        width: of the embedding.
        depth: blocks.
        heads: of attention, of `head_size` each.
        head_size: channels of a head.
        hidden: of the perceptrons; 4 times the width where None.
        every_token: whether there are logits for each token.

    Raises:
        InvalidInput: a size that is not a whole number above 0, or inputs that are no texts.
    """

    def __init__(
        self,
        input_shape: Sequence[int] = (16,),
        num_classes: int = 32,
        vocabulary: int | None = None,
        width: int = 64,
        depth: int = 4,
        heads: int = 4,
        head_size: int = 16,
        hidden: int | None = None,
        every_token: bool = False,
    ) -> None:
        super().__init__()
        if len(input_shape) != 1:
            raise InvalidInput(
                f"GPT input_shape={tuple(input_shape)}: give (T,), the tokens of a text, as data=text has"
            )
        tokens = num_classes if vocabulary is None else vocabulary
        inner = 4 * width if hidden is None else hidden
        check_positive("GPT", input_shape=tuple(input_shape), num_classes=num_classes, vocabulary=tokens)
        check_positive("GPT", width=width, depth=depth, heads=heads, head_size=head_size, hidden=inner)
        self.every_token = every_token
        self.tokens = nn.Embedding(tokens, width)
        self.positions = nn.Parameter(torch.zeros(input_shape[0], width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, head_size, inner, causal=True) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, num_classes)
        initialize_transformer_(self)
        nn.init.normal_(self.positions, std=0.02)

    def forward(
        self, ids: Tensor, past_key_values: Cache | None = None, use_cache: bool = False
    ) -> Tensor | tuple[Tensor, Cache]:
        """Returns logits (N, num_classes), or (N, T, num_classes) of every token; with `use_cache` also a cache.

        The cache is the keys and values of all tokens so far.

        Args:
            ids: (N, T); (N, 1) where `past_key_values` holds those of the tokens before.
            past_key_values: as it was returned, for each block (N, heads, tokens, head_size) twice.
        """
        before = 0 if past_key_values is None else past_key_values[0][0].shape[2]
        features = self.tokens(ids) + self.positions[before : before + ids.shape[1]]
        cache: list[list[Tensor]] = []
        for number, block in enumerate(self.blocks):
            past = list(past_key_values[number]) if past_key_values is not None else [] if use_cache else None
            features = block(features, past)
            cache.append(past or [])
        features = self.norm(features)
        logits: Tensor = self.head(features if self.every_token else features[:, -1])
        return (logits, tuple((keys, values) for keys, values in cache)) if use_cache else logits
