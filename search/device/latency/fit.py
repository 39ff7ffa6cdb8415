"""The fit of the latency model: few coefficients, on relative error, chosen and judged on held-out networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import nnls

from ofa.errors import InvalidInput
from search.config.rules import FEWEST_ANCHORS
from search.device.latency.model import INTERCEPT, Costs, HeldOut, LatencyModel, linear
from search.device.timing import Floats

BASELINE: tuple[str, ...] = ("macs",)
TABLE = "table_ms"  # the sum of a network's blocks, each timed alone
# Nested, simplest first. Few networks allow few coefficients: one-hot fits from 40 networks were 14 % off.
FORMS = (
    BASELINE,
    (TABLE,),
    (TABLE, "blocks"),
    # A block timed alone finds its weights in the nearest cache, which is too small for those of a whole network.
    (TABLE, "near_params"),
    (TABLE, "blocks", "near_params"),
    (TABLE, "blocks", "params"),
    ("macs", "layers"),
    ("macs", "activations", "layers"),
    ("macs", "activations", "layers", "params"),
    ("macs", "activations", "layers", "params", "depthwise_macs"),
)
FOLDS = 10
HUBER = 1.5  # standard errors beyond which a network counts less: some are disturbed in every round
NETWORKS_PER_COEFFICIENT = 2  # a form with more coefficients is not tried
NEGLIGIBLE = 1e-5  # errors closer than this are equal
WORTH = 0.98  # a longer form must cut the error by 2 % of itself, or the simpler one stays


def check_count(networks: int) -> None:
    """Checks that so many different networks are enough to fit a latency model to.

    Raises:
        InvalidInput: they are not.
    """
    if networks < FEWEST_ANCHORS:
        raise InvalidInput(
            f"{networks} different subnets are too few for a latency model; it takes {FEWEST_ANCHORS} or more: "
            "train a space of more subnets (a wider model, or finer space.width_ratios and space.multiple_of)"
        )


def fit_latency_model(
    costs: Costs, measured_ms: Floats, *, forms: Sequence[tuple[str, ...]] = FORMS, seed: int = 0
) -> LatencyModel:
    """Returns the LatencyModel of networks with `costs` (N,) by name that took `measured_ms` (N,).

    The form is chosen by cross-validation. `held_out` comes from an outer cross-validation that chooses the
    form again without the networks it is judged on, so the choice does not bias it.

    Raises:
        InvalidInput: fewer than `FEWEST_ANCHORS` networks, or an ms that is not positive and finite.
    """
    count = len(measured_ms)
    check_count(count)
    if not np.all(np.isfinite(measured_ms)) or np.any(measured_ms <= 0):
        raise InvalidInput(
            f"measured latencies must be positive: {measured_ms.min():.4g} to {measured_ms.max():.4g} ms"
        )
    folds = _folds(count, seed)
    predicted, by_macs = np.empty(count), np.empty(count)
    for fold in folds:
        rest = np.setdiff1d(np.arange(count), fold)
        form = choose_form(_rows(costs, rest), measured_ms[rest], forms, seed)
        predicted[fold] = linear(fit_linear(_rows(costs, rest), measured_ms[rest], form), _rows(costs, fold))
        by_macs[fold] = linear(fit_linear(_rows(costs, rest), measured_ms[rest], BASELINE), _rows(costs, fold))
    form = choose_form(costs, measured_ms, forms, seed)
    return LatencyModel(
        coefficients=fit_linear(costs, measured_ms, form),
        held_out=HeldOut.of(predicted, measured_ms),
        macs_only=HeldOut.of(by_macs, measured_ms),
    )


def choose_form(
    costs: Costs, measured_ms: Floats, forms: Sequence[tuple[str, ...]] = FORMS, seed: int = 0
) -> tuple[str, ...]:
    """Returns the form with the least cross-validated error, or a simpler one if a longer form hardly helps.

    Forms with missing costs are skipped.
    """
    folds = _folds(len(measured_ms), seed)
    chosen, least = BASELINE, np.inf
    for form in _possible(forms, costs, len(measured_ms)):
        predicted = np.empty(len(measured_ms))
        for fold in folds:
            rest = np.setdiff1d(np.arange(len(measured_ms)), fold)
            coefficients = fit_linear(_rows(costs, rest), measured_ms[rest], form)
            predicted[fold] = linear(coefficients, _rows(costs, fold))
        error = float(np.mean(np.abs(predicted / measured_ms - 1)))
        if error < WORTH * least - NEGLIGIBLE:
            chosen, least = form, error
    return chosen


def fit_linear(costs: Costs, measured_ms: Floats, form: Sequence[str]) -> dict[str, float]:
    """Returns the coefficients that minimize relative errors; outliers count less.

    Without a block table none is negative: with a negative cost of a layer, a search would win by adding layers. With
    the table every block already has its time, and what it costs less inside a network than alone (a call, a change of
    layout) is subtracted.

    Rows are divided by their ms, so 5 % of a small network weighs as much as 5 % of a large one.
    """
    columns = np.stack(
        [np.ones(len(measured_ms)), *(np.asarray(costs[name], dtype=np.float64) for name in form)], axis=1
    )
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-30)
    rows = columns / scale / measured_ms[:, None]
    weights = np.ones(len(measured_ms))
    solve = _of_any_sign if TABLE in form else _non_negative
    solution = solve(rows, weights)
    for _ in range(10):
        residual = np.abs(rows @ solution - 1)
        spread = 1.4826 * float(np.median(residual))
        if spread < 1e-12:
            break
        weights = np.minimum(1.0, HUBER * spread / np.maximum(residual, 1e-30))
        solution = solve(rows, weights)
    return dict(zip([INTERCEPT, *form], (solution / scale).tolist(), strict=True))


def _non_negative(rows: Floats, weights: Floats) -> Floats:
    """Returns the least squares solution of weighted rows @ x = 1 with x >= 0."""
    solution: Floats = nnls(rows * np.sqrt(weights)[:, None], np.sqrt(weights))[0]
    return solution


def _of_any_sign(rows: Floats, weights: Floats) -> Floats:
    """Returns the least squares solution of weighted rows @ x = 1."""
    solution = np.linalg.lstsq(rows * np.sqrt(weights)[:, None], np.sqrt(weights), rcond=None)[0]
    return np.asarray(solution, dtype=np.float64)


def _possible(forms: Sequence[tuple[str, ...]], costs: Costs, networks: int) -> list[tuple[str, ...]]:
    """The forms whose costs are available and that have few enough coefficients; always the baseline."""
    available = [form for form in forms if all(name in costs for name in form)]
    return [form for form in available if form == BASELINE or (len(form) + 1) * NETWORKS_PER_COEFFICIENT <= networks]


def _folds(count: int, seed: int) -> list[np.ndarray[tuple[int], np.dtype[np.int64]]]:
    order = np.random.default_rng(seed).permutation(count)
    return [np.sort(order[start :: min(FOLDS, count)]) for start in range(min(FOLDS, count))]


def _rows(costs: Costs, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Mapping[str, Floats]:
    return {name: np.asarray(values, dtype=np.float64)[rows] for name, values in costs.items()}
