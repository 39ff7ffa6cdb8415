"""How many training examples norm statistics are measured on: as many as it takes for two halves of them to agree."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from ofa._calibrate import calibrate
from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.inputs import Inputs, as_inputs
from ofa.norms import BatchNorm
from ofa.resolution import resized

if TYPE_CHECKING:
    from ofa.supernet import Supernet

TOLERANCE = 0.05  # standard deviations of a channel
LEAST, MOST = 128, 8192  # examples
_MOST_BYTES = 2**30  # of inputs in memory


@dataclass(frozen=True)
class CalibrationSize:
    """How many examples norm statistics are measured on.

    Attributes:
        examples: how many; 1 where no layer has statistics, so that nothing is measured.
        difference: how far the statistics of two halves are apart (see `statistics_difference`), of the network and the
            layer where it is most; None where no layer has any, or there is one example.
        tolerance: that it was to be below.
    """

    examples: int
    difference: float | None
    tolerance: float

    @property
    def is_stable(self) -> bool:
        """Whether the halves agree; otherwise there were no more examples."""
        return self.difference is None or self.difference <= self.tolerance


def calibration_size(
    supernet: Supernet,
    data: Dataset,
    archs: Iterable[Arch] | None = None,
    *,
    tolerance: float = TOLERANCE,
    most: int = MOST,
) -> CalibrationSize:
    """Returns the fewest training examples, doubled from 128 on, of which two halves give about the same statistics.

    It ends at the end of the data, at `most` examples, or where twice as many would take more than a GiB. Statistics
    of all of them are then off by about half as much as those of the halves differ. A function of the weights and the
    data: no random numbers are drawn.

    Args:
        supernet: trained; it is not changed.
        data: its training examples, in the order of `Dataset.calibration`.
        archs: of the subnets that are measured; None for the largest and the smallest.
        tolerance: standard deviations of a channel, see `statistics_difference`.
        most: examples, which are held in memory.

    Raises:
        InvalidInput: a tolerance that is not above 0, or statistics that are not finite.
    """
    if not tolerance > 0:
        raise InvalidInput(f"tolerance={tolerance!r} must be more than 0, such as {TOLERANCE}: standard deviations")
    space = supernet.space
    archs = list(dict.fromkeys((space.largest, space.smallest) if archs is None else archs))
    views = {arch: supernet.subnet(arch) for arch in archs}
    if not any(list(_layers(view)) for view in views.values()):
        return CalibrationSize(1, None, tolerance)
    examples, requested, apart = 0, LEAST, None
    while requested <= most:
        inputs = as_inputs(data.calibration(requested))
        there = inputs.batch
        if there == examples or there < 4:  # a half of one has no variance
            return CalibrationSize(max(there, examples), apart, tolerance)
        examples = there
        apart = max(_halves_apart(views[arch], resized(inputs, arch), there) for arch in archs)
        size = sum(tensor.numel() * tensor.element_size() for tensor in inputs.tensors().values())
        if apart <= tolerance or there < requested or 2 * size > _MOST_BYTES:
            break
        requested *= 2
    return CalibrationSize(examples, apart, tolerance)


def statistics_difference(first: nn.Module, second: nn.Module) -> float:
    """Returns how far the norm statistics of two networks of the same layers are apart, where a layer is furthest.

    That of a layer is the root mean square over its channels of the difference of their means, in standard deviations,
    and of the difference of the logarithms of these, taken together.
    """
    pairs = zip(_layers(first), _layers(second), strict=True)
    return max((_apart(_statistics(layer), _statistics(other), layer.eps) for layer, other in pairs), default=0.0)


def _halves_apart(view: nn.Module, inputs: Inputs, count: int) -> float:
    """How far the statistics of a view are apart on the first and the second half of some inputs."""
    statistics = []
    for start, stop in ((0, count // 2), (count // 2, count)):
        calibrate(view, inputs.rows(start, stop))
        statistics.append([_statistics(layer) for layer in _layers(view)])
    epsilons = [layer.eps for layer in _layers(view)]
    return max((_apart(*sides) for sides in zip(*statistics, epsilons, strict=True)), default=0.0)


def _apart(first: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], eps: float) -> float:
    (mean, variance), (other_mean, other_variance) = first, other
    spread = ((variance + other_variance) / 2 + eps).sqrt()
    by_mean = (mean - other_mean) / spread
    by_spread = ((variance + eps) / (other_variance + eps)).log() / 2
    return float((by_mean.square() + by_spread.square()).mean().sqrt())


def _statistics(layer: BatchNorm) -> tuple[Tensor, Tensor]:
    assert layer.running_mean is not None and layer.running_var is not None  # see `_layers`
    return layer.running_mean.detach().double().clone(), layer.running_var.detach().double().clone()


def _layers(net: nn.Module) -> Iterator[BatchNorm]:
    """The layers of a network that have statistics."""
    for layer in net.modules():
        if isinstance(layer, BatchNorm) and layer.running_mean is not None and layer.running_var is not None:
            yield layer
