"""Sensitivity: how accuracy falls as one layer is pruned alone, and the quality factors that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput
from ofa.prune.context import Batches, Criterion, Loss, PruneContext
from ofa.prune.criteria._magnitude import magnitude
from ofa.prune.criteria._std_threshold import live_std
from ofa.prune.weights import full_masks, prunable_weights

# By name of a weight: (fraction of its live weights removed, accuracy), by rising sparsity from 0.
Scan = dict[str, list[tuple[float, float]]]


def sensitivity_scan(
    model: nn.Module,
    evaluate: Callable[[nn.Module], float],
    sparsities: Iterable[float],
    criterion: Criterion = magnitude,
    weights: Mapping[str, nn.Parameter] | None = None,
    masks: Mapping[str, Tensor] | None = None,
    batches: Batches | None = None,
    loss: Loss = functional.cross_entropy,
    seed: int = 0,
) -> Scan:
    """Returns by name of each weight [(sparsity, accuracy), ...], that layer alone pruned, the rest whole.

    `evaluate` gives the accuracy of the model it is handed, which is `model` itself with the worst weights of one
    layer at 0; afterwards every weight is as it was, also when `evaluate` fails. Sparsity 0, the model as it is,
    is always among the points and evaluated once. `weights` are those to scan (default: all that may be pruned),
    `masks` what is alive of them; scores are measured once, on the whole model, `batches` and `loss` being for
    criteria that measure on data.

    Raises:
        InvalidInput: a sparsity outside [0, 1], or nothing to scan.
    Source: Han et al. 2015, 1506.02626, section 5.1 and figure 6.
    """
    levels = sorted({0.0, *(float(sparsity) for sparsity in sparsities)})
    if not all(0 <= level <= 1 for level in levels):
        raise InvalidInput(f"sensitivity_scan sparsities={levels}: each must be a fraction from 0 to 1")
    weights = prunable_weights(model) if weights is None else weights
    masks = full_masks(weights) if masks is None else masks
    generator = torch.Generator().manual_seed(seed)
    scores = criterion(PruneContext(model, weights, masks, generator, batches=batches, loss=loss))
    whole = evaluate(model)
    scan: Scan = {}
    for name, weight in weights.items():
        worst_first = _worst_first(scores[name], masks[name].to(weight.device))
        scan[name] = [(0.0, whole), *_scan_layer(model, evaluate, levels[1:], weight, worst_first)]
    return scan


def _worst_first(score: Tensor, mask: Tensor) -> Tensor:
    """Positions of the live weights in the flat weight; of equals, the later ones first."""
    full = score if score.shape == mask.shape else score.reshape(-1, *(1 for _ in mask.shape[1:])).expand(mask.shape)
    live = mask.reshape(-1).nonzero().reshape(-1)
    best_first = torch.argsort(full.reshape(-1)[live], descending=True, stable=True)
    return live[best_first.flip(0)]


def _scan_layer(
    model: nn.Module,
    evaluate: Callable[[nn.Module], float],
    levels: Iterable[float],
    weight: nn.Parameter,
    worst_first: Tensor,
) -> list[tuple[float, float]]:
    before = weight.detach().clone()
    points = []
    try:
        for level in levels:
            pruned = before.clone(memory_format=torch.contiguous_format)
            pruned.view(-1)[worst_first[: round(level * len(worst_first))]] = 0
            with torch.no_grad():
                weight.copy_(pruned)
            points.append((level, evaluate(model)))
    finally:
        with torch.no_grad():
            weight.copy_(before)
    return points


def qualities(
    scan: Mapping[str, list[tuple[float, float]]],
    model: nn.Module,
    drop: float,
    masks: Mapping[str, Tensor] | None = None,
) -> dict[str, float]:
    """Returns by name of each weight the quality for `std_threshold`: the largest that costs at most `drop`.

    For each layer that is the largest scanned sparsity up to which no point lies more than `drop` (in the unit of
    the accuracies) below the accuracy at sparsity 0, as a multiple of the standard deviation of the layer's live
    weights. A layer that stands nothing gets a quality that removes nothing. Of layers whose weights are spread
    alike, the most sensitive one gets the smallest. The scan is one by `magnitude`.

    Raises:
        InvalidInput: a drop below 0, a scan without sparsity 0, or a weight that the model does not have.
    """
    if not drop >= 0:
        raise InvalidInput(f"drop={drop!r} must be 0 or more, in the unit of the accuracies")
    parameters = dict(model.named_parameters())
    result = {}
    for name, points in scan.items():
        if name not in parameters:
            raise InvalidInput(f"the scan is of {name!r}, which {type(model).__name__} does not have")
        mask = torch.ones_like(parameters[name], dtype=torch.bool) if masks is None else masks[name]
        result[name] = _quality(parameters[name], mask, _tolerated(name, points, drop))
    return result


def _tolerated(name: str, points: list[tuple[float, float]], drop: float) -> float:
    ordered = sorted(points)
    if not ordered or ordered[0][0] != 0:
        raise InvalidInput(f"the scan of {name!r} has no point at sparsity 0 to compare with")
    tolerated = 0.0
    for sparsity, accuracy in ordered:
        # Accuracies are decimal fractions: 0.98 - 0.97 must not count as more than 0.01.
        if ordered[0][1] - accuracy > drop + 1e-9:
            break
        tolerated = sparsity
    return tolerated


def _quality(weight: Tensor, mask: Tensor, sparsity: float) -> float:
    """The multiple of std that lies between the last weight to go and the first to stay."""
    sizes = weight.detach()[mask].abs().double().sort().values
    spread = live_std(weight, mask)
    if not len(sizes) or spread == 0:
        return 1.0
    removed = round(sparsity * len(sizes))
    last_gone = float(sizes[removed - 1]) if removed else 0.0
    first_kept = float(sizes[removed]) if removed < len(sizes) else 3 * last_gone
    return max((last_gone + first_kept) / 2 / spread, 1e-12)
