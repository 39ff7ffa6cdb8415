"""Between measured pieces: the time of a block from its costs, where its very sizes were not timed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from search.device.timing import Floats

# Runtimes that compute in vectors pad channels to their width: 8 numbers with AVX2, 16 with AVX-512.
PADDINGS = (1, 8, 16, 32)
NEARNESS = 1.0  # how far a measured piece is felt, in standard deviations of log costs
NOISE = 0.15  # of a piece's deviation from the linear law, as a share of how much pieces deviate
FEWEST_FOR_NEIGHBOURS = 4

Samples = tuple[Mapping[str, Floats], Floats]  # costs by name and ms of the pieces of one family


@dataclass(frozen=True)
class Between:
    """ms = linear law of costs, none negative, times what measured neighbours deviate from it (a kernel average)."""

    coefficients: Floats
    centre: Floats
    scale: Floats
    points: Floats  # (pieces, features)
    weights: Floats  # (pieces,)

    def predict(self, costs: Mapping[str, Floats]) -> Floats:
        """Returns ms (N,) for costs (N,) by name."""
        law = np.maximum(_columns(costs) @ self.coefficients, 1e-9)
        if not len(self.points):
            return law
        near = _kernel((_logs(costs) - self.centre) / self.scale, self.points)
        ms: Floats = law * np.exp(near @ self.weights)
        return ms


def fit_between(costs: Mapping[str, Floats], ms: Floats) -> Between:
    """Returns what fits the pieces of one family: costs (N,) by name, and ms (N,)."""
    columns = _columns(costs)
    coefficients: Floats = nnls(columns / ms[:, None], np.ones(len(ms)))[0]
    logs = _logs(costs)
    centre: Floats = logs.mean(axis=0)
    scale: Floats = np.maximum(logs.std(axis=0), 0.05)
    if len(ms) < FEWEST_FOR_NEIGHBOURS:
        return Between(coefficients, centre, scale, np.empty((0, logs.shape[1])), np.empty(0))
    points = (logs - centre) / scale
    deviation = np.log(ms / np.maximum(columns @ coefficients, 1e-9))
    weights = np.asarray(np.linalg.solve(_kernel(points, points) + NOISE * np.eye(len(ms)), deviation), np.float64)
    return Between(coefficients, centre, scale, points, weights)


def padding_of(samples: Callable[[int], Sequence[Samples]]) -> int:
    """Returns the multiple that channels are best counted in: the one whose laws fit pieces left out best.

    `samples` gives the pieces of every family with costs counted in a multiple.
    """
    errors = []
    for padding in PADDINGS:
        errors.append(float(np.mean(np.concatenate([left_out_errors(*family) for family in samples(padding)]))))
    return PADDINGS[int(np.argmin(np.round(errors, 4)))]


def left_out_errors(costs: Mapping[str, Floats], ms: Floats, folds: int = 5) -> Floats:
    """Returns the relative error (N,) of each piece under a fit that has not seen it."""
    errors = np.zeros(len(ms))
    for fold in range(min(folds, len(ms)) if len(ms) > 1 else 0):
        out = np.arange(len(ms)) % folds == fold
        kept = {name: values[~out] for name, values in costs.items()}
        fitted = fit_between(kept, ms[~out])
        errors[out] = np.abs(fitted.predict({name: values[out] for name, values in costs.items()}) / ms[out] - 1)
    return errors


def _columns(costs: Mapping[str, Floats]) -> Floats:
    dense = costs["macs"] - costs["depthwise_macs"]
    rest = [costs["depthwise_macs"], costs["activations"], costs["params"]]
    return np.stack([np.ones(len(dense)), 1e-6 * dense, *(1e-6 * values for values in rest)], axis=1)


def _logs(costs: Mapping[str, Floats]) -> Floats:
    names = ("macs", "depthwise_macs", "activations", "params")
    return np.log1p(np.stack([costs[name] for name in names], axis=1))


def _kernel(first: Floats, second: Floats) -> Floats:
    distances = ((first[:, None, :] - second[None, :, :]) ** 2).sum(axis=2)
    near: Floats = np.exp(-0.5 * distances / NEARNESS**2)
    return near
