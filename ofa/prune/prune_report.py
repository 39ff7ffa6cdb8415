"""The report of a masked model, one row per layer: what is kept, its computation and its predicted size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor, nn

from ofa.inputs import Example
from ofa.prune.granularity.positions import find_use
from ofa.prune.roles import roles


@dataclass(frozen=True)
class PruneRow:
    """One weight.

    Attributes:
        name: of the parameter.
        weights, kept: entries, and those that are not removed.
        macs, kept_macs: multiply-accumulates of one example, and those with kept weights; None without an example.
        bytes: predicted size on disk (see `predicted_bytes`).
    """

    name: str
    weights: int
    kept: int
    macs: int | None
    kept_macs: int | None
    bytes: int

    @property
    def density(self) -> float:
        """Fraction kept."""
        return self.kept / self.weights


@dataclass(frozen=True)
class PruneReport:
    """The rows of a model, with totals; `str()` is a table.

    Attributes:
        rows: one per prunable weight; sparsity and density are of these.
        other_bytes: of parameters without a mask and of buffers.
        other_macs: multiply-accumulates of weights that are not prunable, of one example.
        whole: entries of the parameters that stay whole, by their role: "embedding", "position or token",
            "bias or norm", or "kept" for what `keep` names or what is not trained.
    """

    rows: tuple[PruneRow, ...]
    other_bytes: int
    other_macs: int = 0
    whole: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def weights(self) -> int:
        """Entries that may be pruned."""
        return sum(row.weights for row in self.rows)

    @cached_property
    def kept(self) -> int:
        """Entries that are kept."""
        return sum(row.kept for row in self.rows)

    @property
    def density(self) -> float:
        """Fraction kept."""
        return self.kept / self.weights

    @property
    def macs(self) -> int | None:
        """Multiply-accumulates with kept weights, of one example; None without an example."""
        counts = [row.kept_macs for row in self.rows if row.kept_macs is not None]
        return sum(counts) + self.other_macs if counts else None

    @property
    def bytes(self) -> int:
        """Predicted size of the whole model on disk."""
        return self.other_bytes + sum(row.bytes for row in self.rows)

    def __str__(self) -> str:
        """A table of the rows and their total."""
        wide = max([len("total"), *(len(row.name) for row in self.rows)])
        lines = [f"{'weight':<{wide}} {'weights':>10} {'kept':>10} {'kept %':>7} {'MACs kept':>12} {'bytes':>11}"]
        for row in self.rows:
            macs = "-" if row.kept_macs is None else f"{row.kept_macs:,}"
            lines.append(
                f"{row.name:<{wide}} {row.weights:>10,} {row.kept:>10,} {100 * row.density:>7.2f} "
                f"{macs:>12} {row.bytes:>11,}"
            )
        macs = "-" if self.macs is None else f"{self.macs:,}"
        lines.append(
            f"{'total':<{wide}} {self.weights:>10,} {self.kept:>10,} {100 * self.density:>7.2f} "
            f"{macs:>12} {self.bytes:>11,}"
        )
        if self.whole:
            lines.append("whole: " + ", ".join(f"{count:,} {role}" for role, count in self.whole.items()))
        return "\n".join(lines)


def make_report(
    model: nn.Module, weights: Mapping[str, nn.Parameter], masks: Mapping[str, Tensor], example_input: Example | None
) -> PruneReport:
    """Returns the report of a masked model."""
    positions = find_use(model, example_input).positions
    others = {name: parameter for name, parameter in model.named_parameters() if name not in weights}
    rows = []
    for name, weight in weights.items():
        alive = int(masks[name].count_nonzero())
        uses = positions.get(name)
        macs = None if not positions else weight.numel() * (uses or 0)
        kept_macs = None if not positions else alive * (uses or 0)
        rows.append(
            PruneRow(
                name,
                weight.numel(),
                alive,
                macs,
                kept_macs,
                predicted_bytes(weight.numel(), alive, weight.element_size()),
            )
        )
    rest = sum(tensor.numel() * tensor.element_size() for tensor in [*others.values(), *model.buffers()])
    other_macs = sum(parameter.numel() * positions.get(name, 0) for name, parameter in others.items())
    return PruneReport(tuple(rows), rest, other_macs, _by_role(others, roles(model, example_input)))


def _by_role(others: Mapping[str, nn.Parameter], roles: Mapping[str, str]) -> dict[str, int]:
    """The entries of parameters that stay whole, by role; norms with biases."""
    counts: dict[str, int] = {}
    for name, parameter in others.items():
        role = roles.get(name, "kept" if parameter.dim() >= 2 else "bias or norm")
        role = "bias or norm" if role == "norm" else role
        counts[role] = counts.get(role, 0) + parameter.numel()
    return counts


def predicted_bytes(weights: int, nonzero: int, bytes_each: int) -> int:
    """Returns the size on disk of a sparse tensor: kept values and one bit per position, or all values if smaller."""
    return min(weights * bytes_each, nonzero * bytes_each + -(-weights // 8))
