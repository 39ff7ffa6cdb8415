"""Training with a pruner and a teacher: what each is given, and what a checkpoint of another training says."""

from __future__ import annotations

import copy
from functools import partial

import pytest
import torch

from ofa.data import Dataset, synthetic
from ofa.data.augment import random_shift
from ofa.errors import InvalidInput
from ofa.task import classification
from ofa.train import Distillation, Teacher
from ofa.train.teacher_batches import TeacherBatches, scoring_batches
from tests.ofa.train.network_training import ADAMW, QUICK, STEPS, Halving, fit, net, same


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(image_size=8, num_classes=4, samples=200, seed=0)


def test_the_pruner_is_given_the_length_and_batches_and_its_penalty_counts(data):
    model, free = net(), net()
    training = fit(model, data, **QUICK, prune=Halving, scoring=2)
    assert training.pruner.total == STEPS
    assert training.pruner.images == [32, 32]
    assert [row["density"] for row in training.history] == [511 / 512, 510 / 512, 509 / 512]
    assert (model.head.weight == 0).sum() == 3
    plain = fit(free, data, **QUICK)
    assert plain.history[0]["loss"] < training.history[0]["loss"]


def test_scoring_batches_are_training_images_and_always_the_same(data):
    make = scoring_batches(data.train, 16, 3, seed=1)
    first, again = list(make()), list(make())
    assert [len(labels) for _, labels in first] == [16, 16, 16]
    for (images, labels), (images_again, labels_again) in zip(first, again, strict=True):
        assert torch.equal(images, images_again) and torch.equal(labels, labels_again)
        known = (data.train.images[:, None] == images[None]).flatten(2).all(2)
        assert known.sum() == 16
        assert torch.equal(data.train.labels[known.float().argmax(0)], labels)


@pytest.mark.parametrize("augment", [None, partial(random_shift, pixels=1)], ids=["held", "a batch at a time"])
def test_a_pure_student_follows_its_teacher(data, augment):
    teacher, student = net(1), net()
    fit(teacher, data, **QUICK | {"epochs": 6})
    kept = copy.deepcopy(teacher)
    teacher.train()
    settings = QUICK | {"epochs": 20, "batch_size": 16, "augment": augment, "validate_every": 0}
    fit(student, data, **settings, distillation=Distillation(teacher, 1.0))
    assert same(kept, teacher) and teacher.training  # norm statistics too
    images = data.test.images
    student.eval(), kept.eval()
    agreed = (student(images).argmax(1) == kept(images).argmax(1)).float().mean()
    assert agreed > 0.8


def test_teacher_logits_come_with_their_images(data):
    teacher = net(1).eval()
    feed = TeacherBatches(data.train, 32, 0, torch.device("cpu"), classification(data), teacher=Teacher(teacher))
    with torch.no_grad():
        for images, _, logits in feed.epoch(0):
            torch.testing.assert_close(logits, teacher(images))


CHANGES = {
    "batch_size": {"batch_size": 16},
    "seed": {"seed": 3},
    "optimizer": {"optimizer": ADAMW},
    "prune": {"prune": None},
    "teacher": {"distillation": Distillation(net(8), 0.5)},
    "temperature": {"distillation": Distillation(net(7), 0.5, temperature=2.0)},
    "accumulation": {"accumulation": 2},
    "ema": {"ema": 0.9},
    "epochs": {"epochs": 4},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_training_is_refused_by_name_and_kept(data, tmp_path, name):
    path = tmp_path / "training.safetensors"
    asked = QUICK | {"prune": Halving, "distillation": Distillation(net(7), 0.5)}
    fit(net(), data, **asked, checkpoint=path)
    content = path.read_bytes()
    model = net(9)
    with pytest.raises(InvalidInput, match=f"{path} is of another training: .*{name}"):
        fit(model, data, **asked | CHANGES[name], checkpoint=path)
    assert path.read_bytes() == content
    assert same(model, net(9))


@pytest.mark.parametrize(("weight", "temperature", "words"), [(2.0, 1.0, "distill=2.0"), (0.5, 0.0, "temperature=0.0")])
def test_distillation_out_of_range_is_refused(weight, temperature, words):
    with pytest.raises(InvalidInput, match=words):
        Distillation(net(), weight, temperature)
