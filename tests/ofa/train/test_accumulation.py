"""A batch that is learned in parts moves the weights as the whole one does, whatever its loss is the mean of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from ofa.task import Batch, Task, classification, language_model, segmentation
from ofa.task._language_model import IGNORED
from ofa.train import TrainSettings, run
from ofa.train.state import new_state

EXAMPLES, CLASSES = 7, 3
SETTINGS = TrainSettings(optimizer=partial(torch.optim.SGD, lr=1.0), epochs=1, batch_size=EXAMPLES)


def labels() -> Batch:
    return Batch(torch.randn(EXAMPLES, 4), torch.tensor([0, 0, 2, 1, 0, 2, 2]))


def tokens() -> Batch:
    """Texts of unlike lengths; of one nothing counts, which is a part of its own where there are as many parts."""
    targets = torch.randint(CLASSES, (EXAMPLES, 5))
    for row, length in enumerate([5, 0, 1, 2, 5, 3, 1]):
        targets[row, length:] = IGNORED
    return Batch(torch.randn(EXAMPLES, 5, 4), targets)


def pixels() -> Batch:
    masks = torch.randint(CLASSES, (EXAMPLES, 3, 3))
    masks[1:3] = 255
    masks[4, 0] = 255
    return Batch(torch.randn(EXAMPLES, 4, 3, 3), masks)


def pixel_net() -> nn.Module:
    return nn.Conv2d(4, CLASSES, 1)


CASES: dict[str, tuple[Task, Callable[[], Batch], Callable[[], nn.Module]]] = {
    "labels": (classification(num_classes=CLASSES), labels, lambda: nn.Linear(4, CLASSES)),
    "weighted": (
        classification(num_classes=CLASSES, class_weights=(0.2, 5.0, 1.0), label_smoothing=0.1),
        labels,
        lambda: nn.Linear(4, CLASSES),
    ),
    "tokens": (language_model(vocabulary=CLASSES), tokens, lambda: nn.Linear(4, CLASSES)),
    "pixels": (segmentation(num_classes=CLASSES), pixels, pixel_net),
    "weighted_pixels": (segmentation(num_classes=CLASSES, class_weights=(0.2, 5.0, 1.0)), pixels, pixel_net),
}


def one_step(name: str, accumulation: int) -> tuple[float, dict[str, Tensor]]:
    """The loss of a step of a batch, and the weights after it."""
    task, make_batch, make_net = CASES[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, batch = make_net(), make_batch()
    settings = replace(SETTINGS, accumulation=accumulation)
    options = {"held_gradients": False, "average_buffers": True}
    state = new_state(model, settings, 1, lambda: model, task=task, **options)

    def step(part, context):
        loss = context.task.loss(context.task.call(model, part), part)
        context.backward(loss)
        return loss.detach()

    (row,) = run(step, lambda epoch, start: iter([batch]), state, settings)
    return row["loss"], {key: value.detach() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("accumulation", range(2, EXAMPLES + 1))
@pytest.mark.parametrize("name", CASES)
def test_parts_are_the_whole(name: str, accumulation: int) -> None:
    (loss, whole), (sum_of_parts, parts) = one_step(name, 1), one_step(name, accumulation)
    assert sum_of_parts == pytest.approx(loss, rel=1e-5)
    for key, value in whole.items():
        torch.testing.assert_close(parts[key], value, rtol=1e-5, atol=1e-6)


def test_by_examples_alone_tokens_would_be_another_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    task, *rest = CASES["tokens"]
    loss, _ = one_step("tokens", 1)
    monkeypatch.setitem(CASES, "tokens", (replace(task, terms=None), *rest))
    assert one_step("tokens", 3)[0] != pytest.approx(loss, rel=1e-3)
