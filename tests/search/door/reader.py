"""A network of token ids and a mask, its data and its supernet: what a verb makes again by these names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import ofa
from ofa.data import Dataset, from_inputs
from ofa.randomize import randomize_


class Reader(nn.Module):
    """Token ids with a mask to logits by name."""

    def __init__(self, width: int = 16, num_classes: int = 3) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.expand = nn.Linear(8, width)
        self.reduce = nn.Linear(width, width)
        self.head = nn.Linear(width, num_classes)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        """Returns {"logits": (N, classes)}."""
        words = torch.relu(self.expand(self.embedding(ids)))
        if mask is not None:
            words = words * mask.unsqueeze(2)
        return {"logits": self.head(torch.relu(self.reduce(words.mean(1))))}


def texts(samples: int = 240) -> Dataset:
    """Texts of 6 tokens of which some do not count; the label says how many of the others are below 10."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(20, (samples, 6), generator=generator)
    mask = torch.rand((samples, 6), generator=generator) > 0.3
    low = ((ids < 10) & mask).sum(1)
    return from_inputs({"ids": ids, "mask": mask}, (low - 1).clamp(0, 2), name="texts")


def supernet() -> ofa.Supernet:
    """With random weights."""
    example = texts().train.take(torch.arange(2))[0]
    return ofa.Supernet(randomize_(Reader()).eval(), example, ofa.SpaceRules(multiple_of=4, width_ratios=None))
