"""Taylor: the change of the loss on removal of a weight, or of a channel as a whole, to first order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, nearest
from ofa.inputs import as_inputs
from ofa.norms import NORMS
from ofa.prune.context import PruneContext
from ofa.prune.criteria.gradients import differentiable, finite, gradients_of
from ofa.prune.granularity.pool import Coupled, PieceScores
from ofa.task import Batch

OVER = ("joint", "mean", "sum", "max")


def taylor(
    context: PruneContext, *, over: str = "joint", gates: bool = False, examples: int | None = None
) -> Mapping[str, Tensor]:
    """Returns the mean over batches of the squared change of the loss on removal, to first order, float64.

    Of single weights and blocks that is (g * w)**2, of each weight's shape, g being a batch's gradient. A channel is
    scored as a whole, `PieceScores`: g * w is summed over all that goes with it (the rows that make it, its norms and
    biases, the columns that read it) before the square, as for a gate on the channel.

    The model runs in eval mode on all of the context's batches.

    Args:
        context: see `PruneContext`.
        over: "joint": one sum over all tensors of a channel; or the squares of each tensor's own sum, as their "mean",
            "sum" or "max".
        gates: only the scales and shifts of the norms that a channel passes count, where it passes any.
        examples: of a gradient; None: a whole batch. Over many, gradients of a trained network cancel out.

    Raises:
        InvalidInput: no batches, an unknown option, or a gradient that is not finite.
    Source: Molchanov et al. 2019, 1906.10771, equations 8 (weights) and 9 (sums over groups), section 3.2 (gates).
    """
    if over not in OVER:
        raise InvalidInput(f"taylor over={over!r} is unknown; {nearest(str(over), OVER)}")
    if examples is not None and examples < 1:
        raise InvalidInput(f"taylor examples={examples!r} of a gradient: at least 1, or null for whole batches")
    if context.pieces is not None:
        return PieceScores(finite("taylor", _of_pieces(context, context.pieces, over, gates, examples)))
    scores = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in context.weights.items()}
    for changes, share in _changes(context, context.weights, examples):
        for name, change in changes.items():
            scores[name].addcmul_(change, change, value=share)
    return finite("taylor", scores)


def _changes(
    context: PruneContext, parameters: Mapping[str, nn.Parameter], examples: int | None
) -> Iterator[tuple[dict[str, Tensor], float]]:
    """Each gradient times the parameters, by name, with the share that it has in the mean."""
    batches = []
    for inputs, labels in context.labeled("taylor"):
        whole = Batch(inputs, labels)
        step = examples or whole.examples
        batches += [whole.rows(start, start + step) for start in range(0, whole.examples, step)]
    with differentiable(context, parameters.values()):
        for batch in batches:
            loss = context.batch_loss(as_inputs(batch.inputs), batch.targets)
            gradients = gradients_of(loss, parameters)
            yield {name: g.double() * parameters[name].detach() for name, g in gradients.items()}, 1 / len(batches)


def _of_pieces(
    context: PruneContext, pieces: Coupled, over: str, gates: bool, examples: int | None
) -> dict[str, Tensor]:
    model = context.model
    parameters = {name: model.get_parameter(name) for name in pieces.sources}
    norms = {name for name in parameters if isinstance(model.get_submodule(name.rpartition(".")[0]), NORMS)}
    scores: dict[str, Tensor] = {}
    for changes, share in _changes(context, parameters, examples):
        for pool, parts in pieces.parts(changes).items():
            counted = [part for name, part in parts.items() if name in norms] if gates else []
            score = _combined(torch.stack(counted or list(parts.values())), over) * share
            scores[pool] = scores[pool] + score if pool in scores else score
    return scores


def _combined(parts: Tensor, over: str) -> Tensor:
    """The score of each piece from what each tensor holds of it, (tensors, pieces)."""
    if over == "joint":
        return parts.sum(dim=0).square()
    squares = parts.square()
    if over == "max":
        return squares.amax(dim=0)
    return squares.sum(dim=0) if over == "sum" else squares.mean(dim=0)
