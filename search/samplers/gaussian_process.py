"""A Gaussian process for few, noisy observations over many discrete choices, with hyper-parameters by likelihood.

Source: Rasmussen and Williams 2006, algorithm 2.1 and equations 5.8 and 5.9.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Floats = np.ndarray[Any, np.dtype[np.float64]]
Blocks = Sequence[Floats]  # features in groups, each (points, features): each group has its own kernels

JITTER = 1e-6
SPREAD = 1.5  # standard deviation of the prior on each logarithm: keeps what the data do not determine near the start


@dataclass(frozen=True)
class Kernel:
    """A sum of a linear and a quadratic kernel for every block of features, a squared exponential over all, and noise.

    The quadratic kernels cover products of two features: how choices interact. All variances are
    of observations scaled to mean 0 and variance 1; `length` is in units of the root mean square distance between the
    points.
    """

    linear: tuple[float, ...]
    quadratic: tuple[float, ...]
    squared_exponential: float
    length: float
    noise: float

    @classmethod
    def start(cls, blocks: int) -> Kernel:
        """Returns the kernel that the fit starts from."""
        return cls((0.3,) * blocks, (0.1,) * blocks, squared_exponential=0.3, length=1.0, noise=0.05)

    @property
    def logarithms(self) -> Floats:
        """The logarithms of the parameters, which the fit varies."""
        return np.log([*self.linear, *self.quadratic, self.squared_exponential, self.length, self.noise])

    @classmethod
    def of_logarithms(cls, values: Floats) -> Kernel:
        """Returns the kernel whose `logarithms` these are."""
        *variances, squared_exponential, length, noise = np.exp(values).tolist()
        blocks = len(variances) // 2
        return cls(tuple(variances[:blocks]), tuple(variances[blocks:]), squared_exponential, length, noise)

    def of_products(self, products: Sequence[Floats]) -> Floats:
        """Returns the linear and the quadratic part of the covariance, from the inner products of every block."""
        each = zip(self.linear, self.quadratic, products, strict=True)
        return np.asarray(sum(linear * product + quadratic * product**2 for linear, quadratic, product in each))


@dataclass(frozen=True)
class GaussianProcess:
    """A fitted process: predicts the mean and the standard deviation without noise, in the units of the targets."""

    kernel: Kernel
    blocks: tuple[Floats, ...]  # of the training points, centered and scaled
    centers: tuple[Floats, ...]
    scales: tuple[float, ...]
    distance: float
    weights: Floats  # (points,)
    whitening: Floats  # (points, points): the inverse of the Cholesky factor
    offset: float
    unit: float

    def predict(self, blocks: Blocks) -> tuple[Floats, Floats]:
        """Returns the mean and the standard deviation, each (points,)."""
        scaled = self._scaled(blocks)
        across = _covariance(self.kernel, scaled, self.blocks, self.distance)
        prior = self.kernel.squared_exponential + self.kernel.of_products(
            [np.square(block).sum(axis=1) for block in scaled]
        )
        variance = prior - np.square(across @ self.whitening.T).sum(axis=1)
        mean = self.offset + self.unit * (across @ self.weights)
        return mean, self.unit * np.sqrt(np.maximum(variance, 1e-12))

    def covariance(self, blocks: Blocks) -> Floats:
        """Returns the covariance of the predictions, (points, points), without noise."""
        scaled = self._scaled(blocks)
        across = _covariance(self.kernel, scaled, self.blocks, self.distance) @ self.whitening.T
        prior = _covariance(self.kernel, scaled, scaled, self.distance)
        return np.asarray(self.unit**2 * (prior - across @ across.T))

    @property
    def noise(self) -> float:
        """The variance of the noise, in squared units of the targets."""
        return self.unit**2 * self.kernel.noise

    def _scaled(self, blocks: Blocks) -> tuple[Floats, ...]:
        return tuple(
            (block - center) / scale for block, center, scale in zip(blocks, self.centers, self.scales, strict=True)
        )


def fit_gaussian_process(
    blocks: Blocks, targets: Floats, rng: np.random.Generator, *, likelihood_points: int = 160
) -> GaussianProcess:
    """Returns the process fitted to `targets` (points,) at the points of `blocks`.

    The kernel's parameters maximize the marginal likelihood of at most `likelihood_points` of the points, drawn by
    `rng`; the prediction uses all points.
    """
    centers = tuple(block.mean(axis=0) for block in blocks)
    scales = tuple(
        float(np.sqrt(np.square(block - center).sum(axis=1).mean())) or 1.0
        for block, center in zip(blocks, centers, strict=True)
    )
    scaled = tuple((block - center) / scale for block, center, scale in zip(blocks, centers, scales, strict=True))
    offset, unit = float(targets.mean()), float(targets.std()) or 1.0
    values = (targets - offset) / unit
    distance = float(_squared_distances(scaled, scaled).mean()) or 1.0
    count = min(likelihood_points, len(targets))
    chosen = np.sort(rng.permutation(len(targets))[:count])
    kernel = _most_likely(tuple(block[chosen] for block in scaled), values[chosen], distance)
    within = _covariance(kernel, scaled, scaled, distance)
    within[np.diag_indices_from(within)] += kernel.noise + JITTER
    factor, _ = cho_factor(within, lower=True)
    weights = cho_solve((factor, True), values)
    whitening = solve_triangular(factor, np.eye(len(values)), lower=True)
    return GaussianProcess(kernel, scaled, centers, scales, distance, weights, whitening, offset, unit)


def _squared_distances(first: Blocks, second: Blocks) -> Floats:
    """Squared distances between the rows of two sets of blocks, (points, points); all blocks have equal weight."""
    left, right = np.concatenate(first, axis=1), np.concatenate(second, axis=1)
    squares = np.square(left).sum(axis=1)[:, None] + np.square(right).sum(axis=1)[None, :] - 2 * left @ right.T
    return np.asarray(np.maximum(squares, 0.0))


def _covariance(kernel: Kernel, first: Blocks, second: Blocks, distance: float) -> Floats:
    squares = _squared_distances(first, second) / distance
    smooth = kernel.squared_exponential * np.exp(-0.5 * squares / kernel.length**2)
    products = [left @ right.T for left, right in zip(first, second, strict=True)]
    return np.asarray(smooth + kernel.of_products(products))


def _most_likely(blocks: Blocks, values: Floats, distance: float) -> Kernel:
    """The most likely kernel, under a wide prior around the start."""
    products = [block @ block.T for block in blocks]
    squares = _squared_distances(blocks, blocks) / distance
    start = Kernel.start(len(blocks)).logarithms
    identity = np.eye(len(values))

    def loss(logarithms: Floats) -> tuple[float, Floats]:
        kernel = Kernel.of_logarithms(logarithms)
        smooth = kernel.squared_exponential * np.exp(-0.5 * squares / kernel.length**2)
        parts = [variance * product for variance, product in zip(kernel.linear, products, strict=True)]
        parts += [variance * product**2 for variance, product in zip(kernel.quadratic, products, strict=True)]
        within = smooth + sum(parts) + (kernel.noise + JITTER) * identity
        factor = cho_factor(within, lower=True)
        weights, inverse = cho_solve(factor, values), cho_solve(factor, identity)
        slope = inverse - np.outer(weights, weights)
        changes = [*parts, smooth, smooth * squares / kernel.length**2]
        gradient = [0.5 * float((slope * change).sum()) for change in changes]
        gradient.append(0.5 * kernel.noise * float(np.trace(slope)))
        deviation = (logarithms - start) / SPREAD
        likelihood = 0.5 * float(values @ weights) + float(np.log(np.diag(factor[0])).sum())
        return likelihood + 0.5 * float(deviation @ deviation), np.array(gradient) + deviation / SPREAD

    bounds = [(value - 7, value + 7) for value in start]
    solution = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40})
    return Kernel.of_logarithms(solution.x)
