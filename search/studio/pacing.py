"""Work in parts so small that it can be given up soon for the next setting, and that say how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn

from ofa._calibrate import Rows, calibrate
from ofa.inputs import Example, Inputs, as_inputs
from ofa.prune.context import Batches
from ofa.prune.granularity.positions import WeightUse

Tell: TypeAlias = Callable[[Mapping[str, Any]], None]  # hears of progress; raises where the work is no longer wanted

MOST, FEWEST = 256, 4  # examples of a part: enough of them to be quick, and for a variance
PART_MACS = 4e9  # of a part: some tenths of a second on one core


def examples_at_once(network: nn.Module, use: WeightUse) -> int:
    """Returns how many examples are computed between two looks at whether they are still wanted."""
    return max(FEWEST, min(MOST, int(PART_MACS / max(1.0, whole_macs(network, use)))))


def whole_macs(network: nn.Module, use: WeightUse) -> float:
    """Returns the multiply-accumulates of one example, zeros included."""
    sizes = {name: parameter.numel() for name, parameter in network.named_parameters() if name in use.positions}
    return use.cost(network, sizes).get("macs", 0.0)


def progress_of(done: int, total: int, what: str) -> dict[str, Any]:
    """Returns what is told of work on examples: the share that is done, and a text such as "scored 256 of 1,000"."""
    return {"progress": done / max(1, total), "text": f"{what} {done:,} of {total:,} examples"}


@dataclass(frozen=True)
class Told:
    """Inputs that tell of each part that is taken.

    Attributes:
        whole: where they come from.
        tell: hears of it, and ends it.
    """

    whole: Rows
    tell: Tell

    @property
    def batch(self) -> int:
        """How many examples."""
        return self.whole.batch

    def rows(self, start: int, stop: int) -> Inputs:
        """Returns those from `start` to before `stop`."""
        self.tell(progress_of(start, self.batch, "norm statistics from"))
        return self.whole.rows(start, stop)


def measure_norms(network: nn.Module, images: Example | Rows, use: WeightUse, tell: Tell) -> nn.Module:
    """Returns the network, in eval mode, its norm statistics measured in parts; given up, they are as before."""
    whole = images if isinstance(images, Rows) else as_inputs(images)
    few = examples_at_once(network, use)
    # A network that is computed by many examples anyhow keeps the batches, and so the bits, of `ofa.calibrate`.
    return calibrate(network, Told(whole, tell), *([few] if few < MOST else []))


def telling(batches: Batches, count: int, tell: Tell) -> Batches:
    """Returns batches for criteria that tell of each of the `count` that is taken."""

    def counted() -> Iterable[tuple[Example, Tensor]]:
        for at, batch in enumerate(batches()):
            tell({"progress": at / count, "text": f"criterion measured on {at} of {count} batches"})
            yield batch

    return counted
