"""Teachers of a supernet: what its networks learn from, what is kept of the outputs, and what is refused."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional

from ofa import calibrate
from ofa.data import Dataset, from_iterables, synthetic
from ofa.data.augment import random_shift
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.task import Batch, classification, scores
from ofa.train import (
    Distillation,
    Phase,
    StepContext,
    Teacher,
    progressive,
    sandwich,
    single,
    train,
    train_network,
)
from ofa.train.precision import precision_of
from ofa.train.step import step_rng
from ofa.train.teachers import Teaching
from tests.ofa.train.loop_settings import SETTINGS
from tests.ofa.train.network_training import net
from tests.ofa.train.supernet_trainings import same, without_time

TASK = classification(num_classes=4)
LABELS = torch.arange(8) % 4


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(image_size=8, num_classes=4, samples=200, seed=0)


@pytest.fixture(scope="module")
def teacher(data) -> nn.Module:
    """Another architecture, trained."""
    trained = net(1)
    train_network(trained, data, replace(SETTINGS, epochs=8, batch_size=16))
    return trained


def test_all_networks_of_a_sandwich_learn_from_the_teacher(make_supernet, data):
    supernet = make_supernet()
    supernet.model.dropout.p = 0.0
    for parameter in supernet.model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    images, labels = data.train.images[:16], data.train.labels[:16]
    taught = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    numbers = precision_of("float32", torch.device("cpu"))
    optimizer = torch.optim.SGD(supernet.parameters(), lr=0.1)
    context = StepContext(0, 1, step_rng(0, 0), optimizer, TASK, numbers.autocast, numbers.backward)
    sandwich(supernet, Batch(images, labels, taught), context, random_subnets=0, label_weight=0.25)
    total = torch.zeros(())
    for arch in (supernet.space.largest, supernet.space.smallest):
        logits = supernet.subnet(arch)(images)
        total = total + 0.75 * functional.cross_entropy(logits, taught.softmax(1))
        total = total + 0.25 * functional.cross_entropy(logits, labels)
    expected = torch.autograd.grad(total, list(supernet.model.parameters()), allow_unused=True)
    for parameter, wanted in zip(supernet.model.parameters(), expected, strict=True):
        wanted = torch.zeros_like(parameter) if wanted is None else wanted
        assert torch.allclose(parameter.grad, wanted, atol=1e-6)


PURE = {
    "sandwich": partial(sandwich, label_weight=0.0),
    "single": partial(single, label_weight=0.0),
    "progressive": partial(progressive, phases=[Phase(1.0, distill=3.0)]),
}


@pytest.mark.parametrize("augment", [None, partial(random_shift, pixels=1)], ids=["plain", "augmented"])
@pytest.mark.parametrize("strategy", PURE)
def test_the_largest_follows_a_teacher_of_another_architecture(make_supernet, data, teacher, strategy, augment):
    supernet, kept = make_supernet(), digest_of(teacher)
    settings = replace(SETTINGS, epochs=14, batch_size=16, validate_every=0, augment=augment)
    train(supernet, data, PURE[strategy], settings, teacher=teacher)
    assert digest_of(teacher) == kept and teacher.training
    view = supernet.subnet(supernet.space.largest)
    calibrate(view, data.train.images)
    images = data.test.images
    with torch.no_grad():
        agreed = (view(images).argmax(1) == teacher.eval()(images).argmax(1)).float().mean()
    teacher.train()
    assert agreed > 0.75


@pytest.mark.parametrize("augment", [None, partial(random_shift, pixels=1)], ids=["plain", "augmented"])
def test_kept_outputs_are_those_of_every_batch(make_supernet, data, teacher, augment):
    """The same training whether they are computed once or every time, to what another batch size changes in a sum."""
    calls: list[int] = []
    handle = teacher.register_forward_hook(lambda module, args, output: calls.append(len(output)))
    settings = replace(SETTINGS, validate_every=0, augment=augment)
    kept, anew = make_supernet(), make_supernet()
    train(kept, data, sandwich, settings, teacher=teacher)
    seen = len(calls)
    train(anew, data, sandwich, settings, teacher=Teacher(teacher, cache_bytes=0))
    handle.remove()
    assert seen == (2 if augment is None else 10)  # the check, and all images at once or nine batches
    assert len(calls) - seen == 10
    for one, other in zip(kept.model.parameters(), anew.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stop", [1, 3, 5])
def test_a_training_with_a_teacher_in_two_parts_is_the_whole_one(make_supernet, data, teacher, tmp_path, stop):
    task = classification(data, label_smoothing=0.1, temperature=2.0)
    options = {"task": task, "teacher": teacher}
    whole, resumed = make_supernet(), make_supernet(9)
    strategy = partial(sandwich, label_weight=0.5)
    history = train(whole, data, strategy, SETTINGS, **options)
    path = tmp_path / "training.safetensors"
    train(make_supernet(), data, strategy, replace(SETTINGS, stop_step=stop), checkpoint=path, **options)
    again = train(resumed, data, strategy, SETTINGS, checkpoint=path, **options)
    assert without_time(again) == without_time(history) and same(whole.model, resumed.model)
    with pytest.raises(InvalidInput, match="is of another training: teacher was"):
        train(resumed, data, strategy, SETTINGS, checkpoint=path, task=task, teacher=net(3))
    with pytest.raises(InvalidInput, match="is of another training: task was"):
        train(resumed, data, strategy, SETTINGS, checkpoint=path, teacher=teacher)


class OfClasses(nn.Module):
    """Logits of so many classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(64, classes)

    def forward(self, images):
        return self.head(images.flatten(1))


@pytest.mark.parametrize("classes", [1, 3, 5])
def test_a_teacher_of_other_classes_is_refused_before_the_first_step(make_supernet, data, classes):
    supernet = make_supernet()
    before = digest_of(supernet.model)
    with pytest.raises(InvalidInput, match=rf"OfClasses returns \(32, {classes}\), and SmallNet \(32, 4\): give"):
        train(supernet, data, sandwich, SETTINGS, teacher=OfClasses(classes))
    with pytest.raises(InvalidInput, match=rf"OfClasses returns \(32, {classes}\), and Net \(32, 4\)"):
        train_network(net(), data, SETTINGS, distillation=Distillation(OfClasses(classes), 0.5))
    assert digest_of(supernet.model) == before


def test_a_teacher_that_does_not_run_or_would_learn_too_is_refused(make_supernet, data):
    with pytest.raises(InvalidInput, match="the teacher Linear does not run on the training inputs: mat1 and mat2"):
        train(make_supernet(), data, sandwich, SETTINGS, teacher=nn.Linear(3, 4))
    supernet = make_supernet()
    with pytest.raises(InvalidInput, match=r"shares \d+ weights .*give copy\.deepcopy"):
        train(supernet, data, sandwich, SETTINGS, teacher=supernet.model)
    poisoned = OfClasses(4)
    nn.init.constant_(poisoned.head.bias, float("nan"))
    with pytest.raises(InvalidInput, match="the loss against the teacher OfClasses is nan; check its weights"):
        train(supernet, data, sandwich, SETTINGS, teacher=poisoned)


def test_a_start_that_teaches_itself_stays_where_it_is(make_supernet, data):
    """The largest begins as its teacher: in eval mode nothing is left to learn from it."""
    trained = make_supernet()
    train(trained, data, sandwich, replace(SETTINGS, epochs=6))
    start = copy.deepcopy(trained.model)
    before = scores(trained.subnet(trained.space.largest), data.train.in_order(), TASK)["accuracy"].value
    train(trained, data, partial(sandwich, label_weight=0.0), replace(SETTINGS, epochs=2), teacher=start)
    after = scores(trained.subnet(trained.space.largest), data.train.in_order(), TASK)["accuracy"].value
    assert after > before - 0.1


def test_a_batch_that_the_teacher_fails_on_is_named():
    made = [(torch.rand(8, size), LABELS) for size in (4, 4, 5, 4)]
    data = from_iterables(train=lambda epoch: made, validation=lambda epoch: made)
    teaching = Teaching(Teacher(nn.Linear(4, 4)), TASK, data.train, 8, 0, torch.device("cpu"), augmented=False)
    batches = teaching.taught(data.train.pixels.epoch(8, seed=0, epoch=1, start=1, drop_last=True), 1, 1)
    assert next(batches).teacher.shape == (8, 4)
    with pytest.raises(InvalidInput, match=r"the inputs of batch 3 of epoch 2 are \(N, 5\) .* were \(N, 4\)"):
        next(batches)
