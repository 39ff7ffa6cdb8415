"""The loop of plain networks: it learns, resumes to the same bits with its pruner, distils, and refuses."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.data import Dataset, synthetic
from ofa.data.augment import random_shift
from ofa.errors import InvalidInput
from ofa.evaluate import evaluate
from ofa.train import constant, train_network
from ofa.train.digest import digest_of
from ofa.train.feed import Feed, scoring_batches

SGD = partial(torch.optim.SGD, lr=0.05, momentum=0.9, weight_decay=1e-4, fused=True)
ADAMW = partial(torch.optim.AdamW, lr=0.01)
QUICK = {"optimizer": SGD, "epochs": 3, "batch_size": 32, "gradient_clip": 1.0, "validate_every": 2}
STEPS = 3 * (120 // 32)


class Net(nn.Module):
    """A convolution with a norm, dropout, and a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8 * 16, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(functional.relu(self.norm(self.conv(images))).flatten(1)))


class Halving:
    """A stand-in for a pruner, with a random state: every third step it removes one more weight of the head."""

    def __init__(self, model: nn.Module, optimizer, total_steps: int, batches, *, stop: int | None = None) -> None:
        self.weight, self.stop = model.head.weight, stop
        self.total, self.count = total_steps, 0
        self.generator = torch.Generator().manual_seed(3)
        self.mask = torch.ones_like(self.weight, dtype=torch.bool)
        self.images = [len(images) for images, _ in batches()]

    @property
    def density(self) -> float:
        return float(self.mask.float().mean())

    def penalty(self) -> Tensor:
        return 1e-3 * self.weight.abs().sum()

    def step(self) -> None:
        self.count += 1
        if self.count % 3 == 0:
            flat = self.mask.view(-1)
            flat[torch.randint(flat.numel(), (), generator=self.generator)] = False
        with torch.no_grad():
            self.weight.mul_(self.mask)
        if self.count == self.stop:
            raise Stop

    def state_dict(self):
        state = self.generator.get_state()
        return {"mask": self.mask, "count": self.count, "random": [state, None], "rows": {"a": (1, 2.5)}}

    def load_state_dict(self, state) -> None:
        assert state["rows"] == {"a": [1, 2.5]}
        self.mask.copy_(state["mask"])
        self.count = state["count"]
        self.generator.set_state(state["random"][0])


class Stop(Exception):
    """The process ends here."""


def killed_at(step: int):
    """Makes a pruner that kills the process at a step; in a checkpoint's settings it looks like `Halving`."""

    def make(model, optimizer, total_steps, batches):
        return Halving(model, optimizer, total_steps, batches, stop=step)

    make.__module__, make.__qualname__ = Halving.__module__, Halving.__qualname__
    return make


@pytest.fixture(scope="module")
def data() -> Dataset:
    return synthetic(image_size=8, num_classes=4, samples=200, seed=0)


def net(seed: int = 0) -> Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Net()


def same(first: nn.Module, second: nn.Module) -> bool:
    return digest_of(first) == digest_of(second)


def without_time(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history]


def test_learns_and_tells(data):
    model = net()
    training = train_network(model, data, **QUICK | {"epochs": 12, "batch_size": 16, "validate_every": 6})
    assert [row["epoch"] for row in training.history] == list(range(1, 13))
    assert training.history[-1]["step"] == 12 * 7
    assert training.history[-1]["loss"] < training.history[0]["loss"]
    assert [row["epoch"] for row in training.history if "accuracy" in row] == [6, 12]
    assert training.history[-1]["accuracy"] == evaluate(model, data.validation.images, data.validation.labels) > 0.8
    assert training.pruner is None


def test_is_the_textbook_loop(data):
    """Independent of all helpers: the same batches through cross entropy, SGD and clipping by hand."""
    model, textbook = net(), net()
    settings = QUICK | {"epochs": 2, "schedule": constant, "validate_every": 0}
    for module in (model, textbook):
        module.dropout.p = 0.0
    train_network(model, data, **settings)
    optimizer = torch.optim.SGD(
        [
            {"params": [textbook.conv.weight, textbook.head.weight], "weight_decay": 1e-4},
            {"params": [textbook.norm.weight, textbook.norm.bias, textbook.head.bias]},
        ],
        lr=0.05,
        momentum=0.9,
    )
    feed = Feed(data.train, 32, 0, torch.device("cpu"))
    textbook.train()
    for epoch in range(2):
        seen = 0
        for images, labels, _ in feed.epoch(epoch):
            optimizer.zero_grad()
            functional.cross_entropy(textbook(images), labels).backward()
            nn.utils.clip_grad_norm_(textbook.parameters(), 1.0)
            optimizer.step()
            seen += len(images)
        assert seen == 96
    for one, other in zip(model.parameters(), textbook.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_epochs_hold_every_image_once_in_another_order(data):
    feed = Feed(data.train, 32, 5, torch.device("cpu"))
    orders = []
    for epoch in (0, 1):
        images = torch.cat([batch for batch, _, _ in feed.epoch(epoch)])
        assert len(torch.unique(images.flatten(1), dim=0)) == 96
        orders.append(images)
    assert not torch.equal(*orders)
    rest = torch.cat([batch for batch, _, _ in feed.epoch(1, start=1)])
    assert torch.equal(rest, orders[1][32:])


@pytest.mark.parametrize("change", [{}, {"validate_every": 0}, {"validate_every": 1}], ids=str)
@pytest.mark.parametrize("augment", [None, partial(random_shift, pixels=1)], ids=["plain", "augmented"])
def test_same_seed_same_bits_whatever_is_watched(data, change, augment):
    first, second = net(), net()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    train_network(first, data, **QUICK, augment=augment, prune=Halving)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    watched = QUICK | change | {"augment": augment, "prune": Halving}
    train_network(second, data, **watched, progress=lambda row: torch.rand(3))
    assert same(first, second)
    other = net()
    train_network(other, data, **QUICK, augment=augment, prune=Halving, seed=1)
    assert not same(first, other)


RECIPES = {
    "sgd": {},
    "adamw": {"optimizer": ADAMW},
    "augmented": {"augment": partial(random_shift, pixels=1)},
    "bfloat16": {"precision": "bfloat16"},
    "float16": {"precision": "float16"},
    "teacher": {"teacher": net(7), "distill": 0.5, "temperature": 2.0},
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(("every", "stops"), [(1, (2, 4)), (2, (3, 6, 8))], ids=str)
def test_resume_gives_the_same_bits(data, tmp_path, recipe, every, stops):
    settings = QUICK | RECIPES[recipe]
    path = tmp_path / "training.safetensors"
    saving = {"checkpoint": path, "checkpoint_steps": every}
    whole = net()
    training = train_network(whole, data, **settings, prune=Halving)
    for step in stops:
        with pytest.raises(Stop):  # once there is a file, the weights come from it and from nowhere else
            train_network(net(9 if path.exists() else 0), data, **settings, prune=killed_at(step), **saving)
    resumed = net(9)
    again = train_network(resumed, data, **settings, prune=Halving, **saving)
    assert without_time(again.history) == without_time(training.history)
    assert same(whole, resumed)
    assert torch.equal(again.pruner.mask, training.pruner.mask)
    assert again.pruner.density < 1


@pytest.mark.parametrize("stop", [1, 3, 5, STEPS])
def test_a_training_in_two_parts_is_the_whole_one(data, tmp_path, stop):
    path = tmp_path / "training.safetensors"
    whole, parts = net(), net()
    training = train_network(whole, data, **QUICK, prune=Halving)
    first = train_network(parts, data, **QUICK, prune=Halving, checkpoint=path, stop_step=stop)
    assert first.pruner.count == stop
    assert len(first.history) == stop // 3
    resumed = net(9)
    rest = train_network(resumed, data, **QUICK, prune=Halving, checkpoint=path)
    assert without_time(rest.history) == without_time(training.history)
    assert same(whole, resumed)
    assert same(whole, parts) == (stop == STEPS)


def test_a_finished_training_is_loaded_and_not_repeated(data, tmp_path):
    path = tmp_path / "training.safetensors"
    first, second = net(), net(9)
    training = train_network(first, data, **QUICK, checkpoint=path)
    written = path.stat().st_mtime_ns
    assert train_network(second, data, **QUICK, checkpoint=path).history == training.history
    assert same(first, second)
    assert path.stat().st_mtime_ns == written


def test_the_pruner_is_given_the_length_and_batches_and_its_penalty_counts(data):
    model, free = net(), net()
    training = train_network(model, data, **QUICK, prune=Halving, scoring=2)
    assert training.pruner.total == STEPS
    assert training.pruner.images == [32, 32]
    assert [row["density"] for row in training.history] == [511 / 512, 510 / 512, 509 / 512]
    assert (model.head.weight == 0).sum() == 3
    plain = train_network(free, data, **QUICK)
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
    train_network(teacher, data, **QUICK | {"epochs": 6})
    kept = copy.deepcopy(teacher)
    teacher.train()
    settings = QUICK | {"epochs": 20, "batch_size": 16, "augment": augment, "validate_every": 0}
    train_network(student, data, **settings, teacher=teacher, distill=1.0)
    assert same(kept, teacher) and teacher.training  # norm statistics too
    images = data.test.images
    student.eval(), kept.eval()
    agreed = (student(images).argmax(1) == kept(images).argmax(1)).float().mean()
    assert agreed > 0.8


def test_teacher_logits_come_with_their_images(data):
    teacher = net(1).eval()
    feed = Feed(data.train, 32, 0, torch.device("cpu"), teacher=teacher)
    with torch.no_grad():
        for images, _, logits in feed.epoch(0):
            torch.testing.assert_close(logits, teacher(images))


CHANGES = {
    "batch_size": {"batch_size": 16},
    "seed": {"seed": 3},
    "optimizer": {"optimizer": ADAMW},
    "prune": {"prune": None},
    "teacher": {"teacher": net(8), "distill": 0.5},
    "epochs": {"epochs": 4},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_another_training_is_refused_by_name_and_kept(data, tmp_path, name):
    path = tmp_path / "training.safetensors"
    asked = QUICK | {"prune": Halving, "teacher": net(7), "distill": 0.5}
    train_network(net(), data, **asked, checkpoint=path)
    content = path.read_bytes()
    model = net(9)
    with pytest.raises(InvalidInput, match=f"{path} is of another training: .*{name}"):
        train_network(model, data, **asked | CHANGES[name], checkpoint=path)
    assert path.read_bytes() == content
    assert same(model, net(9))


@pytest.mark.parametrize("kept", [0, 7, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused_and_kept(data, tmp_path, kept):
    path = tmp_path / "training.safetensors"
    train_network(net(), data, **QUICK, checkpoint=path)
    content = path.read_bytes()
    content = content[: int(kept * len(content)) if isinstance(kept, float) else kept]
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=f"{path} is truncated"):
        train_network(net(), data, **QUICK, checkpoint=path)
    assert path.read_bytes() == content


def test_a_loss_that_is_not_finite_names_the_step(data, tmp_path):
    model = net()
    with torch.no_grad():
        model.head.weight.fill_(math.nan)
    with pytest.raises(InvalidInput, match=r"loss is nan at step 0 of 9: the model returns NaN.*check the model"):
        train_network(model, data, **QUICK, checkpoint=tmp_path / "training.safetensors")
    assert not list(tmp_path.iterdir())
    with pytest.raises(InvalidInput, match=r"step \d of 9: .*lower the learning rate"):
        train_network(net(), data, **QUICK | {"optimizer": partial(torch.optim.SGD, lr=1e30), "gradient_clip": None})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"epochs": 0}, "epochs=0"),
        ({"seed": -1}, "seed=-1"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0"),
        ({"gradient_clip": 0.0}, "gradient_clip=0.0"),
        ({"precision": "float8"}, "precision 'float8' is unknown; did you mean float32"),
        ({"stop_step": -1}, "stop_step=-1"),
        ({"distill": 2.0}, "distill=2.0"),
        ({"distill": 0.5}, "distill=0.5 asks for a teacher"),
        ({"temperature": 0.0}, "temperature=0.0"),
    ],
)
def test_settings_out_of_range_are_refused(data, change, words):
    with pytest.raises(InvalidInput, match=words):
        train_network(net(), data, **QUICK | change)
