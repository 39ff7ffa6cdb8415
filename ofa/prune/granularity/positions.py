"""How often each weight is used for one example: what a kept weight costs in multiply-accumulates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from ofa.inputs import Example, as_inputs
from ofa.structure.structure import analyze, first_names, private_copy


@dataclass(frozen=True)
class WeightUse:
    """Counts of one model, for one example.

    Attributes:
        positions: multiply-accumulates of each entry of a weight, by name; empty where the input is not known.
        fixed_macs: those of products in which no single weight takes part.
        params: all parameters.
    """

    positions: Mapping[str, int]
    fixed_macs: int
    params: int

    def cost(self, model: nn.Module, counts: Mapping[str, int]) -> dict[str, float]:
        """Returns "params" and, where positions are known, "macs", with this many entries kept, by weight."""
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        left = sizes | dict(counts)
        result = {"params": float(self.params - sum(sizes[name] - count for name, count in counts.items()))}
        if self.positions:
            macs = self.fixed_macs + sum(uses * left[name] for name, uses in self.positions.items())
            result["macs"] = float(macs)
        return result


def find_use(model: nn.Module, example_input: Example | None) -> WeightUse:
    """Returns the counts of `model`; without positions where `example_input` is None.

    Raises:
        InvalidInput: the model does not run on the example.
    """
    params = sum(parameter.numel() for parameter in model.parameters())
    if example_input is None:
        return WeightUse({}, 0, params)
    trace = analyze(private_copy(model), as_inputs(example_input).to("cpu")).trace
    first = first_names(model)
    positions: dict[str, int] = {}
    fixed = 0
    for contraction in trace.contractions:
        if contraction.weight is None:
            fixed += contraction.macs
        else:
            name = first.get(contraction.weight, contraction.weight)
            positions[name] = positions.get(name, 0) + contraction.positions
    return WeightUse(positions, fixed, params)
