"""APoZ: a channel that is mostly zero after its ReLU matters little."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ofa.prune.context import PruneContext
from ofa.prune.criteria.outputs import mean_output
from ofa.prune.layers import Layer


def apoz(context: PruneContext, layers: Sequence[Layer] | None = None) -> dict[str, Tensor]:
    """Returns 1 - APoZ of each output channel, (rows,), in [0, 1], float64: how often its output is above 0.

    APoZ is the average percentage of zeros after a ReLU, over images and positions. Measured where the ReLU would
    be applied: at the output of the norm that the layer feeds, or of the layer itself. `layers`: see `norm_scale`.

    Raises:
        InvalidInput: see `mean_output`.
    Source: Hu et al. 2016, 1607.03250, equation 1.
    """
    return mean_output(context, "apoz", lambda output: output > 0, layers)
