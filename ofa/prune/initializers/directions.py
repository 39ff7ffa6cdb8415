"""Rows of weights taken from the data: principal components, and means of clusters of whitened patches."""

from __future__ import annotations

import torch
from torch import Tensor

from ofa.prune.initializers.layers import normal

# Eigenvalues below this share of the largest are rounding noise, or inputs that never vary.
NEGLIGIBLE = 1e-6


def principal(vectors: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Returns `count` rows (count, size) that turn the vectors (number, size) into uncorrelated, whitened outputs.

    The leading eigenvectors of the covariance, each divided by its deviation and with a sign drawn at random. Where
    there are fewer than `count` with any variance, random directions in the whitened space follow.
    Source: Kraehenbuehl et al. 2016, 1511.06856, section 3.1.
    """
    whiten = _whitening(vectors, count)
    signs = torch.randint(0, 2, (len(whiten), 1), generator=generator, dtype=torch.float64) * 2 - 1
    return _filled(signs * whiten, whiten, count, generator)


def clustered(vectors: Tensor, count: int, generator: torch.Generator, rounds: int = 10) -> Tensor:
    """Returns `count` rows (count, size): the means of spherical k-means on the whitened vectors (number, size).

    Vectors are centered, whitened with the leading components (at most `count`), brought to length 1 and
    clustered; a mean c of whitened vectors becomes the row c W of the whitening W.
    Source: Kraehenbuehl et al. 2016, 1511.06856, section 3.1; Coates and Ng 2012, "Learning feature representations
    with k-means".
    """
    whiten = _whitening(vectors, count)
    points = (vectors - vectors.mean(dim=0)) @ whiten.T
    length = points.norm(dim=1, keepdim=True)
    points = (points / length)[length[:, 0] > 1e-9]
    means = _k_means(points, count, rounds, generator) if len(points) else whiten.new_zeros((0, len(whiten)))
    return _filled(means @ whiten, whiten, count, generator)


def _whitening(vectors: Tensor, most: int) -> Tensor:
    """Up to `most` rows, leading first: the outputs of the centered vectors have unit variance, uncorrelated."""
    centered = vectors - vectors.mean(dim=0)
    variances, basis = torch.linalg.eigh(centered.T @ centered / len(vectors))
    variances, basis = variances.flip(0)[:most], basis.flip(1)[:, :most]
    significant = variances > NEGLIGIBLE * variances[0].clamp_min(1e-30)
    rows: Tensor = (basis[:, significant] / variances[significant].sqrt()).T
    return rows


def _k_means(points: Tensor, count: int, rounds: int, generator: torch.Generator) -> Tensor:
    """Means of up to `count` clusters by Lloyd's rounds; fewer where there are fewer distinct points."""
    means = _seeds(points, count, generator)
    for _ in range(rounds):
        nearest = (points @ means.T - means.square().sum(dim=1) / 2).argmax(dim=1)
        sums = torch.zeros_like(means).index_add_(0, nearest, points)
        sizes = torch.bincount(nearest, minlength=len(means))[:, None]
        means = torch.where(sizes > 0, sums / sizes.clamp_min(1), means)
    return means


def _seeds(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Distinct points, each drawn in proportion to its squared distance from those before (k-means++).

    With seeds drawn evenly, the many equal patches of a flat background would each be a cluster.
    """
    seeds = [int(torch.randint(len(points), (), generator=generator))]
    distance = (points - points[seeds[0]]).square().sum(dim=1)
    while len(seeds) < count and float(distance.max()) > 1e-12:
        # By inversion of the cumulative sum: torch.multinomial takes at most 2^24 of them.
        total = distance.cumsum(0)
        drawn = torch.rand((), generator=generator, dtype=torch.float64) * total[-1]
        seeds.append(min(int(torch.searchsorted(total, drawn, right=True)), len(points) - 1))
        distance = torch.minimum(distance, (points - points[seeds[-1]]).square().sum(dim=1))
    return points[seeds]


def _filled(directions: Tensor, whiten: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """`directions`, filled up with random ones in the whitened space (in the whole one, where no vector varies)."""
    missing = count - len(directions)
    if missing <= 0:
        return directions[:count]
    size = whiten.shape[1]
    basis = whiten if len(whiten) else torch.eye(size, dtype=torch.float64)
    return torch.cat([directions, normal((missing, len(basis)), generator) @ basis])
