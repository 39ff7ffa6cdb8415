"""What a pruner says of its masks: density, sparsity and the report."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from ofa.inputs import Example
from ofa.prune.prune_report import PruneReport, make_report


class PrunerFigures:
    """Figures of a masked model."""

    model: nn.Module
    weights: dict[str, nn.Parameter]
    example_input: Example | None

    @property
    def masks(self) -> Mapping[str, Tensor]:
        """Bool masks by name of the parameter: True is kept."""
        raise NotImplementedError

    @property
    def density(self) -> float:
        """Fraction of the prunable weights that are kept."""
        alive = sum(int(self.masks[name].count_nonzero()) for name in self.weights)
        return alive / sum(weight.numel() for weight in self.weights.values())

    @property
    def sparsity(self) -> float:
        """Fraction of the prunable weights that are removed."""
        return 1.0 - self.density

    def report(self) -> PruneReport:
        """Returns one row per layer (kept, multiply-accumulates, predicted bytes) and the totals."""
        return make_report(self.model, self.weights, self.masks, self.example_input)
