"""Networks of other kinds: recurrent, on graphs, with several inputs or outputs, with parts that only train."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.collection.convolution_blocks import conv_norm
from benchmarks.collection.convolutions import Bottleneck
from benchmarks.collection.entry import Entry, Example, images, tokens


class Recurrent(nn.Module):
    """Token ids through a recurrent layer between two linear ones."""

    def __init__(self, kind: type[nn.RNNBase], bidirectional: bool = False) -> None:
        super().__init__()
        self.embed, self.enter = nn.Embedding(64, 24), nn.Linear(24, 32)
        self.layer = kind(32, 40, 2, batch_first=True, bidirectional=bidirectional)
        self.hidden, self.head = nn.Linear(80 if bidirectional else 40, 48), nn.Linear(48, 10)

    def forward(self, ids: Tensor) -> Tensor:
        """Returns logits (N, T, 10)."""
        x, _ = self.layer(F.relu(self.enter(self.embed(ids))))
        return self.head(F.relu(self.hidden(x)))


class GraphNet(nn.Module):
    """Graph convolutions over a fixed adjacency."""

    def __init__(self, nodes: int = 12) -> None:
        super().__init__()
        self.register_buffer("adjacency", torch.rand(nodes, nodes).softmax(-1))
        self.layers = nn.ModuleList([nn.Linear(8, 32), nn.Linear(32, 32), nn.Linear(32, 32)])
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Returns scores of every node (N, nodes, 5)."""
        for layer in self.layers:
            x = F.relu(self.adjacency @ layer(x))
        return self.head(x)


class Field(nn.Module):
    """A NeRF's MLP: positions are encoded by sines, and enter again half way."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.ModuleList([nn.Linear(39, 64), nn.Linear(64, 64), nn.Linear(64, 64)])
        self.second = nn.ModuleList([nn.Linear(64 + 39, 64), nn.Linear(64, 64)])
        self.density, self.color = nn.Linear(64, 1), nn.Sequential(nn.Linear(64 + 27, 32), nn.ReLU(), nn.Linear(32, 3))

    @staticmethod
    def encode(x: Tensor, octaves: int) -> Tensor:
        """Returns x with the sines and cosines of its multiples."""
        return torch.cat([x, *(f(2.0**i * x) for i in range(octaves) for f in (torch.sin, torch.cos))], -1)

    def forward(self, position: Tensor, direction: Tensor) -> dict[str, Tensor]:
        """Returns "density" (N, 1) and "color" (N, 3)."""
        encoded = self.encode(position, 6)
        x = encoded
        for layer in self.first:
            x = F.relu(layer(x))
        x = torch.cat([x, encoded], -1)
        for layer in self.second:
            x = F.relu(layer(x))
        color = torch.sigmoid(self.color(torch.cat([x, self.encode(direction, 4)], -1)))
        return {"density": F.softplus(self.density(x)), "color": color}


class Detector(nn.Module):
    """A feature pyramid with heads that are shared by its levels."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm(3, 16), nn.ReLU())
        self.first, self.second = Bottleneck(16, 8, 2), Bottleneck(32, 16, 2)
        self.lateral = nn.ModuleList([nn.Conv2d(32, 24, 1), nn.Conv2d(64, 24, 1)])
        self.tower = nn.Sequential(nn.Conv2d(24, 24, 3, padding=1), nn.GroupNorm(4, 24), nn.ReLU())
        self.scores, self.boxes = nn.Conv2d(24, 3 * 5, 3, padding=1), nn.Conv2d(24, 3 * 4, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, list[Tensor]]:
        """Returns "scores" and "boxes", a tensor for each level."""
        low = self.first(self.stem(x))
        high = self.second(low)
        top = self.lateral[1](high)
        levels = [self.tower(self.lateral[0](low) + F.interpolate(top, scale_factor=2)), self.tower(top)]
        return {"scores": [self.scores(level) for level in levels], "boxes": [self.boxes(level) for level in levels]}


class Auxiliary(nn.Module):
    """A second classifier that runs only in training."""

    def __init__(self) -> None:
        super().__init__()
        self.early, self.late = nn.Sequential(conv_norm(3, 16), nn.ReLU()), nn.Sequential(conv_norm(16, 32), nn.ReLU())
        self.aside, self.aside_head = nn.Conv2d(16, 12, 3, padding=1), nn.Linear(12, 10)
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Any:
        """Returns logits (N, 10); in training a pair of them."""
        x = self.early(x)
        logits = self.head(self.late(x).mean((2, 3)))
        if self.training:
            return logits, self.aside_head(F.relu(self.aside(x)).mean((2, 3)))
        return logits


class TwoTowers(nn.Module):
    """An image and a caption with a mask, each made a vector; their agreement is the output."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(conv_norm(3, 16), nn.ReLU(), conv_norm(16, 32), nn.ReLU())
        self.words, self.mix = nn.Embedding(64, 24), nn.Sequential(nn.Linear(24, 48), nn.GELU(), nn.Linear(48, 24))
        self.to_image, self.to_text = nn.Linear(32, 16), nn.Linear(24, 16)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Returns an agreement for each pair (N,)."""
        image = self.to_image(self.image(pixels).mean((2, 3)))
        words = self.mix(self.words(ids))
        kept = torch.ones_like(ids) if mask is None else mask
        text = self.to_text((words * kept[..., None]).sum(1) / kept.sum(1, keepdim=True))
        return F.cosine_similarity(image, text)


class WaveNet(nn.Module):
    """Dilated causal convolutions with gates, and skips that are summed."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, 24, 1)
        self.filters = nn.ModuleList(nn.Conv1d(24, 48, 2, dilation=2**i) for i in range(4))
        self.back, self.skip = (nn.ModuleList(nn.Conv1d(24, n, 1) for _ in range(4)) for n in (24, 32))
        self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(32, 32, 1), nn.ReLU(), nn.Conv1d(32, 16, 1))

    def forward(self, wave: Tensor) -> Tensor:
        """Returns scores (N, 16, T)."""
        x, total = self.enter(wave), torch.zeros(())
        for layer, back, skip in zip(self.filters, self.back, self.skip, strict=True):
            y = F.glu(layer(F.pad(x, (layer.dilation[0], 0))), dim=1)
            total = total + skip(y)
            x = x + back(y)
        return self.head(total)


class Experts(nn.Module):
    """A mixture of expert MLPs, each weighted by a softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.enter, self.route = nn.Linear(8, 32), nn.Linear(32, 4)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 32)) for _ in range(4))
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Returns logits (N, 10)."""
        x = self.enter(x)
        mix = self.route(x).softmax(-1)
        return self.head(x + sum(mix[:, i : i + 1] * expert(x) for i, expert in enumerate(self.experts)))


class Autoencoder(nn.Module):
    """A variational autoencoder without its noise: the middle is split in mean and variance."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(
            conv_norm(3, 16, 3, 2), nn.ReLU(), conv_norm(16, 32, 3, 2), nn.ReLU(), nn.Conv2d(32, 16, 1)
        )
        self.decode = nn.Sequential(nn.ConvTranspose2d(8, 16, 4, 2, 1), nn.ReLU(), nn.ConvTranspose2d(16, 3, 4, 2, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Returns the picture again, the mean and the logarithm of the variance."""
        mean, log_variance = self.encode(x).chunk(2, 1)
        return self.decode(mean), mean, log_variance


def entries() -> tuple[Entry, ...]:
    """Returns the other kinds."""
    nodes, points = torch.randn(2, 12, 8), torch.randn(6, 3)
    mask = torch.ones(2, 12, dtype=torch.long)
    return (
        Entry("LSTM", "recurrent", lambda: (Recurrent(nn.LSTM), Example((tokens(),)))),
        Entry("GRU", "recurrent", lambda: (Recurrent(nn.GRU), Example((tokens(),)))),
        Entry("LSTM, both ways", "recurrent", lambda: (Recurrent(nn.LSTM, True), Example((tokens(),)))),
        Entry("graph network", "other", lambda: (GraphNet(), Example((nodes,)))),
        Entry("NeRF", "other", lambda: (Field(), Example((points, F.normalize(torch.randn(6, 3), dim=-1))))),
        Entry("detector", "convolution", lambda: (Detector(), images())),
        Entry("auxiliary head", "convolution", lambda: (Auxiliary(), images())),
        Entry("two towers", "other", lambda: (TwoTowers(), Example((images().args[0], tokens()), {"mask": mask}))),
        Entry("WaveNet", "convolution", lambda: (WaveNet(), Example((torch.randn(2, 1, 32),)))),
        Entry("mixture of experts", "other", lambda: (Experts(), Example((torch.randn(4, 8),)))),
        Entry("autoencoder", "convolution", lambda: (Autoencoder(), images())),
    )
