"""The block of transformers: attention and a perceptron, each added to what it is given."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Attention of a sequence (N, T, width) to itself, in heads of `head_size`; `causal`: to what precedes.

    How many heads there are follows from the widths of the layers. Source: Vaswani et al. 2017, 1706.03762.
    """

    def __init__(self, width: int, heads: int, head_size: int, causal: bool) -> None:
        super().__init__()
        self.head_size = head_size
        self.causal = causal
        self.query = nn.Linear(width, heads * head_size)
        self.key = nn.Linear(width, heads * head_size)
        self.value = nn.Linear(width, heads * head_size)
        self.project = nn.Linear(heads * head_size, width)

    def forward(self, features: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """Returns (N, T, width).

        `past` holds the keys and values (N, heads, P, head_size) of what precedes, none for a text's beginning; those
        of `features` are added to it in place.
        """
        query, key, value = (
            layer(features).unflatten(2, (-1, self.head_size)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        causal = self.causal
        if past is not None:
            if past:
                key, value = torch.cat([past[0], key], dim=2), torch.cat([past[1], value], dim=2)
                causal = False  # one token follows all that are there
            past[:] = [key, value]
        heads = functional.scaled_dot_product_attention(query, key, value, is_causal=causal)
        attended: Tensor = self.project(heads.transpose(1, 2).flatten(2))
        return attended


class TransformerBlock(nn.Module):
    """Pre-norm attention and perceptron on (N, T, width). Source: Xiong et al. 2020, 2002.04745."""

    def __init__(self, width: int, heads: int, head_size: int, hidden: int, causal: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, head_size, causal)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, hidden)
        self.reduce = nn.Linear(hidden, width)

    def forward(self, features: Tensor, past: list[Tensor] | None = None) -> Tensor:
        """Returns (N, T, width); `past` as in `Attention`."""
        features = features + self.attention(self.attention_norm(features), past)
        result: Tensor = features + self.reduce(functional.gelu(self.expand(self.norm(features))))
        return result


def initialize_transformer_(model: nn.Module) -> None:
    """Sets weights in place: normal with deviation 0.02, zero biases. Source: Radford et al. 2019 (GPT-2)."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, (nn.Linear, nn.Conv2d)) and module.bias is not None:
            nn.init.zeros_(module.bias)
