"""What a run counts as alive, by hand: 5x5 maps of float32 are 100 bytes a channel."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import ofa


class Sum(nn.Module):
    """An input of 200 bytes, then maps of 100 bytes a channel."""

    def __init__(self, width: int = 4, inplace: bool = False) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.head = nn.Conv2d(width, 1, 1)
        self.inplace = inplace

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        return self.head(y + self.second(F.relu(y, inplace=self.inplace)))


def test_a_residual_by_hand() -> None:
    images = torch.randn(3, 2, 5, 5)  # the batch does not count: one example is run
    # The second convolution holds the input, y, relu(y) and its output; so does the sum, without relu(y).
    assert ofa.measure_peak_activation_bytes(Sum(), images) == 200 + 3 * 400
    # In place relu(y) is y; the sum then holds the most: the input, y, the second convolution's output and its own.
    assert ofa.measure_peak_activation_bytes(Sum(inplace=True), images) == 200 + 3 * 400
    supernet = ofa.Supernet(Sum(), images, ofa.SpaceRules(multiple_of=1, width_ratios=None))
    archs = [ofa.Arch(width={"first": width}) for width in (1, 2, 3, 4)]
    assert ofa.peak_activation_bytes(supernet, archs).tolist() == [500, 800, 1100, 1400]


def test_in_place_results_are_not_new_storages() -> None:
    images = torch.randn(1, 2, 5, 5)
    for inplace, peak in ((False, 200 + 400 + 400), (True, 200 + 400)):
        assert ofa.measure_peak_activation_bytes(nn.Sequential(Sum().first, nn.ReLU(inplace)), images) == peak


def test_views_are_not_new_storages_and_indices_of_a_pool_are() -> None:
    images = torch.randn(1, 2, 4, 4)
    assert ofa.measure_peak_activation_bytes(nn.Flatten(), images) == 128
    assert ofa.measure_peak_activation_bytes(nn.MaxPool2d(2), images) == 128 + 8 * 4 + 8 * 8


def test_a_storage_dies_when_the_code_drops_it() -> None:
    class Drops(nn.Module):
        def __init__(self, keep: bool) -> None:
            super().__init__()
            self.keep = keep

        def forward(self, x: Tensor) -> Tensor:
            y = torch.cat([x, x], 1)
            kept = y if self.keep else None
            y = y.mean((2, 3))
            y = y.repeat(1, 100)
            del kept
            return y

    images = torch.randn(1, 2, 5, 5)
    assert ofa.measure_peak_activation_bytes(Drops(keep=False), images) == 200 + 16 + 1600
    assert ofa.measure_peak_activation_bytes(Drops(keep=True), images) == 200 + 400 + 16 + 1600


def test_weights_and_constants_do_not_count() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("buffer", torch.ones(1000))

        def forward(self, x: Tensor) -> Tensor:
            return x * torch.tensor(2.0) + self.get_buffer("buffer")[0]

    assert ofa.measure_peak_activation_bytes(Constant(), torch.randn(1, 10)) == 3 * 40


def test_float64_counts_twice() -> None:
    images = torch.randn(1, 3, 8, 8)
    single = ofa.models.LeNet300((3, 8, 8), 10)
    double = ofa.models.LeNet300((3, 8, 8), 10).double()
    peaks = [ofa.measure_peak_activation_bytes(net, x) for net, x in ((single, images), (double, images.double()))]
    assert peaks[1] == 2 * peaks[0]


def test_a_measured_net_stays_as_it_was() -> None:
    net = Sum()
    net.second.eval()
    ofa.measure_peak_activation_bytes(net, torch.randn(1, 2, 5, 5))
    assert net.training and not net.second.training
    with pytest.raises(ofa.InvalidInput, match="does not run on an input of shape"):
        ofa.measure_peak_activation_bytes(net, torch.randn(1, 3, 5, 5))
    with pytest.raises(ofa.InvalidInput, match="first dimension of examples"):
        ofa.measure_peak_activation_bytes(net, torch.tensor(1.0))
