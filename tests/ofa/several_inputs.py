"""A network of several inputs with an output of its own class, and data for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import ofa
from ofa.randomize import randomize_


@dataclass
class Output:
    """As a model's answer of several parts."""

    logits: Tensor
    hidden: tuple[Tensor, ...] | None = None


class TwoTowers(nn.Module):
    """Token ids with a mask, and an image; optional arguments; an answer with names."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 8)
        self.text = nn.Sequential(nn.Linear(8, 24), nn.ReLU(), nn.Linear(24, 12))
        self.image = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 12, 3))
        self.head = nn.Linear(12, 5)

    def forward(self, ids: Tensor, image: Tensor, *, mask: Tensor | None = None, scale: float = 1.0) -> Output:
        words = self.embedding(ids)
        if mask is not None:
            words = words * mask.unsqueeze(-1)
        both = self.text(words).sum(1) + scale * self.image(image).mean((2, 3))
        return Output(self.head(both), (words,))


def examples() -> list[Any]:
    ids, image, mask = torch.randint(50, (2, 7)), torch.rand(2, 3, 8, 8), torch.rand(2, 7) > 0.3
    return [
        (ids, image),
        {"ids": ids, "image": image, "mask": mask},
        ofa.Inputs(ids, image, mask=mask, scale=0.5),
        ofa.Inputs(ids, image, mask=None),
    ]


def supernet_of(number: int) -> ofa.Supernet:
    return ofa.Supernet(randomize_(TwoTowers()).eval(), examples()[number])


def labeled() -> list[tuple[Any, Tensor]]:
    ids, image, mask = torch.randint(50, (6, 7)), torch.rand(6, 3, 8, 8), torch.rand(6, 7) > 0.3
    return [({"ids": ids, "image": image, "mask": mask}, torch.arange(6) % 5), ((ids, image), torch.arange(6) % 5)]
