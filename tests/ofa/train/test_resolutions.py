"""Training at several resolutions: each network of a step gets the images at its own."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ofa
from ofa.data import Dataset, synthetic
from ofa.task import Batch, classification
from ofa.train import Phase, StepContext, TrainSettings, progressive, sandwich, single, train, train_network
from ofa.train.callbacks import supernet_scores, validation
from ofa.train.precision import precision_of
from ofa.train.step import step_rng


class Net(nn.Module):
    """Remembers the heights of the images that it was given in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)
        self.heights: list[int] = []

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.heights.append(images.shape[2])
        return self.head(self.norm(self.first(images)).relu().mean((2, 3)))


@pytest.fixture
def data() -> Dataset:
    return synthetic(image_size=8, channels=3, samples=100, num_classes=4)


@pytest.fixture
def supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    made = ofa.Supernet(Net(), torch.randn(2, 3, 8, 8), ofa.SpaceRules(multiple_of=4, resolutions=(4, 6)))
    made.model.heights.clear()
    return made


SETTINGS = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.05), epochs=3, batch_size=16, validate_every=3)


def test_a_sandwich_learns_at_the_largest_the_smallest_and_drawn_resolutions(supernet, data) -> None:
    train(supernet, data, sandwich, SETTINGS)
    heights = supernet.model.heights
    assert heights[:2] == [8, 4]
    assert heights.count(8) >= 9 and heights.count(4) >= 9 and 6 in heights


def test_gradients_are_those_of_the_losses_at_each_resolution(supernet) -> None:
    images, labels = torch.randn(12, 3, 8, 8), torch.arange(12) % 4
    largest, smallest = supernet.space.largest, supernet.space.smallest
    teacher = supernet.subnet(largest)(images)
    student = supernet.subnet(smallest)(functional.interpolate(images, (4, 4), mode="bilinear", antialias=True))
    loss = functional.cross_entropy(teacher, labels) + functional.cross_entropy(student, teacher.detach().softmax(1))
    expected = torch.autograd.grad(loss, list(supernet.parameters()))
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)
    numbers = precision_of("float32", torch.device("cpu"))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    context = StepContext(
        0, 1, step_rng(0, 0), optimizer, classification(num_classes=4), numbers.autocast, numbers.backward
    )
    sandwich(supernet, Batch(images, labels), context, random_subnets=0)
    for parameter, wanted in zip(supernet.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-6)


def test_progressive_shrinking_draws_resolutions_from_its_first_phase_on(supernet, data) -> None:
    train(supernet, data, partial(progressive, phases=[Phase(1.0, distill=0.0)]), SETTINGS)
    assert set(supernet.model.heights) == {4, 6, 8}


def test_a_phase_may_keep_the_smaller_resolutions_closed(supernet, data) -> None:
    train(supernet, data, partial(progressive, phases=[Phase(1.0, distill=0.0, resolution=2)]), SETTINGS)
    assert set(supernet.model.heights) == {6, 8}


def test_a_single_arch_is_trained_at_its_resolution(supernet, data) -> None:
    smallest = supernet.space.smallest
    measured = validation(
        lambda: supernet_scores(supernet, data, classification(data), 1024, {"it": smallest}), SETTINGS
    )
    history = train(supernet, data, partial(single, arch=smallest), SETTINGS, callbacks=[measured])
    assert set(supernet.model.heights) == {4}
    view = ofa.calibrate(supernet.subnet(smallest), ofa.resized(data.calibration(1024), smallest))
    small = ofa.resized(data.validation.images, smallest)
    assert history[-1]["scores"]["it"]["accuracy"] == ofa.evaluate(view, small, data.validation.labels)


def test_a_copy_is_trained_further_with_a_data_set_at_its_resolution(supernet, data) -> None:
    arch = supernet.space.smallest
    small = ofa.resized(data, arch)
    net = supernet.extract(arch)
    net.heights = []

    def flipped(images: Tensor, generator: torch.Generator) -> Tensor:
        assert images.shape[2] == 8  # augmented as the supernet's images are, resized afterwards
        return images.flip(3)

    settings = TrainSettings(**{**vars(SETTINGS), "augment": flipped})
    training = train_network(net, small, settings)
    assert set(net.heights) == {4}
    measured = training.history[-1]["scores"]["network"]["accuracy"]
    assert measured == ofa.evaluate(net, small.validation.images, small.validation.labels)
