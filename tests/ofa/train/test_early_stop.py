from __future__ import annotations

from functools import partial

import pytest
import torch

import ofa
from ofa.errors import InvalidInput
from ofa.train import Event
from tests.ofa.train import network_training, supernet_trainings
from tests.ofa.train.network_training import Halving, Net
from tests.ofa.train.supernet_trainings import ADAMW, same

# Scores of the largest and the smallest subnet by epoch; the best mean is the third.
SCORES = [(0.5, 0.1), (0.4, 0.3), (0.6, 0.4), (0.9, 0.0), (0.5, 0.5), (0.2, 0.2)]


def scripted(kept: list[dict[str, torch.Tensor]]):
    """A callback that is asked after validation: it says what was scored, and keeps the weights of each epoch."""

    def tell(event: Event, state) -> None:
        if event is Event.EPOCH:
            kept.append({name: value.clone() for name, value in state.model.state_dict().items()})

    return tell


@pytest.fixture
def scores(monkeypatch):
    def tell(script):
        left = iter(script)

        def measure(*_):
            largest, smallest = next(left)
            return {"largest": {"accuracy": largest}, "smallest": {"accuracy": smallest}}

        monkeypatch.setattr("ofa.train.supernet.supernet_scores", measure)

    return tell


@pytest.mark.parametrize(("patience", "epochs"), [(1, 4), (2, 5), (3, 6), (9, 6)])
def test_the_best_weights_by_the_mean_of_both_ends_come_back(make_supernet, data, scores, patience, epochs):
    scores(SCORES)
    kept, supernet = [], make_supernet()
    changes = {"epochs": len(SCORES), "validate_every": 1, "patience": patience}
    history = supernet_trainings.fit(supernet, data, callbacks=[scripted(kept)], **changes)
    assert len(history) == epochs
    counted = f"{patience} validation{'' if patience == 1 else 's'} (patience)"
    early = {epochs: f"{counted} without a better accuracy, after epoch {epochs} of {len(SCORES)}"}
    said = {row["epoch"]: row["ended"] for row in history if "ended" in row}
    assert said == (early if epochs < len(SCORES) else {})
    weights = supernet.model.state_dict()
    assert all(torch.equal(value, kept[2][name]) for name, value in weights.items())
    assert not all(torch.equal(value, kept[-1][name]) for name, value in weights.items())


def test_validations_are_counted_and_not_epochs(make_supernet, data, scores):
    scores([(0.5, 0.5), (0.6, 0.6), (0.1, 0.1), (0.1, 0.1)])
    changes = {"epochs": 8, "validate_every": 2, "patience": 1}
    history = supernet_trainings.fit(make_supernet(), data, **changes)
    # Of eight epochs the second, the third (the end of the first third) and the fourth are validated.
    assert [row["epoch"] for row in history if "scores" in row] == [2, 3, 4]


def test_a_metric_that_is_to_be_small_is_best_where_it_is_least(data):
    task = ofa.task.classification(data)
    loss = ofa.task.Metric(
        name="wrong", statistics=partial(_wrong), value=lambda sums: sums[..., 0] / sums[..., 1], maximize=False
    )
    task = ofa.task.Task(name="any", loss=task.loss, metrics=(loss,))
    net = Net()
    optimizer = partial(torch.optim.SGD, lr=0.05)
    training = network_training.fit(
        net, data, task=task, optimizer=optimizer, epochs=12, validate_every=1, patience=2, seed=1
    )
    values = [row["scores"]["network"]["wrong"] for row in training.history]
    found = ofa.task.scores(net, data.validation.in_order(), task)["wrong"].value
    assert found == min(values)


def _wrong(outputs, batch):
    wrong = (outputs.argmax(1) != batch.targets).double()
    return torch.stack([wrong, torch.ones_like(wrong)], dim=1)


def test_a_stopped_training_is_over_for_the_next_process_too(make_supernet, data, tmp_path):
    changes = {"patience": 1, "validate_every": 1, "epochs": 12, "optimizer": partial(ADAMW, lr=0.5)}
    path = tmp_path / "training.safetensors"
    first, second = make_supernet(), make_supernet(9)
    history = supernet_trainings.fit(first, data, checkpoint=path, **changes)
    assert len(history) < 12
    assert supernet_trainings.fit(second, data, checkpoint=path, **changes) == history
    assert same(first.model, second.model)


def test_the_averaged_weights_are_those_that_were_scored(make_supernet, data):
    changes = {"patience": 3, "validate_every": 1, "epochs": 3, "ema": 0.5}
    supernet = make_supernet()
    history = supernet_trainings.fit(supernet, data, **changes)
    means = [sum(scores["accuracy"] for scores in row["scores"].values()) for row in history]
    task = ofa.task.classification(data)
    space, images = supernet.space, data.calibration(1024)
    views = [ofa.calibrate(supernet.subnet(arch), images) for arch in (space.largest, space.smallest)]
    found = [ofa.task.scores(view, data.validation.in_order(), task)["accuracy"].value for view in views]
    assert sum(found) == pytest.approx(max(means))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patience": 0}, "patience=0 must be at least 1, or null for never"),
        ({"patience": 2, "validate_every": 0}, "patience=2 counts validations and validate_every=0 means none"),
        ({"layer_decay": 0.0}, "layer_decay=0.0 must be more than 0 and at most 1"),
        ({"layer_decay": 1.5}, "layer_decay=1.5 must be more than 0 and at most 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(make_supernet, data, changes, message):
    with pytest.raises(InvalidInput, match=message):
        supernet_trainings.fit(make_supernet(), data, **changes)


def test_a_network_that_is_being_pruned_does_not_stop_early(data):
    with pytest.raises(InvalidInput, match=r"patience=2: .* being pruned"):
        network_training.fit(Net(), data, prune=Halving, patience=2)


def test_layers_near_the_input_move_less(data):
    """Plain gradient descent: the first step of each weight is its rate times a gradient that both trainings share."""
    nets = [Net(), Net()]
    nets[1].load_state_dict(nets[0].state_dict())
    before = {name: value.clone() for name, value in nets[0].named_parameters()}
    optimizer = partial(torch.optim.SGD, lr=0.1)
    for net, decay in zip(nets, (None, 0.25), strict=True):
        network_training.fit(net, data, optimizer=optimizer, layer_decay=decay, stop_step=1, gradient_clip=None, seed=4)
    moved = [{name: value - before[name] for name, value in net.named_parameters()} for net in nets]
    for name, step in moved[0].items():
        factor = 1.0 if name.startswith("head") else 0.25
        torch.testing.assert_close(moved[1][name], factor * step, msg=name)
