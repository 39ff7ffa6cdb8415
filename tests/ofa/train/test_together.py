"""Several processes that train together: as one at the same batch, the same bits everywhere, resumed by any number."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from ofa import Supernet
from ofa.errors import InvalidInput
from ofa.processes import ALONE, processes
from ofa.prune import Pruner
from ofa.prune.criteria import taylor
from ofa.prune.regrowth import RigL
from ofa.prune.schedules import Cubic
from ofa.train import Distillation, Event, TrainSettings, progressive, restarts, sandwich, train_network
from ofa.train.by_use import scaled_by_use
from ofa.train.gradients import combined, without_conflicts
from ofa.train.label_weights import by_skill
from ofa.train.sampling import attentive, fair, sampled
from ofa.train.schedules import OFA_PHASES
from tests.ofa.ranks import on_ranks
from tests.ofa.train.shared_trainings import (
    EXACT,
    QUICK,
    apart,
    data,
    network,
    outcome,
    pruned,
    same_everywhere,
    supernet,
    together,
    trained,
)

RECIPES: dict[str, dict[str, Any]] = {
    "sandwich": {"ema": 0.9},
    "three, accumulated": {"count": 3, "accumulation": 2},
    "progressive": {"strategy": progressive, "schedule": partial(restarts, phases=OFA_PHASES)},
    "means by use, accumulated": {
        "strategy": partial(scaled_by_use, strategy=sandwich),
        "accumulation": 2,
    },
    "batches of their own": {
        "strategy": partial(scaled_by_use, strategy=partial(sandwich, label_weight=1.0)),
        "batch_size": 8,
        "batches_per_step": 4,
    },
    "gradients together, fair": {
        "strategy": partial(
            combined, strategy=partial(sampled, strategy=sandwich, draw=fair), combine=without_conflicts
        ),
    },
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_they_end_as_one_process(recipe: str) -> None:
    changes = dict(RECIPES[recipe])
    results = together(changes.pop("count", 2), **changes)
    alone = trained(0, **changes)
    assert same_everywhere(results)
    assert apart(alone, results[0]) < EXACT
    assert apart(alone, {"weights": supernet("small").model.state_dict()}) > 1e-3
    assert [row["loss"] for row in results[0]["rows"]] == pytest.approx(
        [row["loss"] for row in alone["rows"]], abs=EXACT
    )
    assert [row["scores"] for row in results[0]["rows"]] == [row["scores"] for row in alone["rows"]]


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("name", ["resnet", "vit", "mlp"])
@pytest.mark.parametrize("strategy", [sandwich, progressive])
def test_models_end_as_one_process_after_twenty_steps(name: str, count: int, strategy: Any) -> None:
    changes = {"strategy": strategy, "epochs": 5, "stop_step": 20, "validate_every": 0}
    results = together(count, name, **changes)
    assert same_everywhere(results) and apart(trained(0, name, **changes), results[0]) < EXACT


PRUNING: dict[str, dict[str, Any]] = {
    "cubic": {},
    "rigl": {"pruning": {"regrowth": RigL(every=2, until=8), "schedule": None}},
    "taylor": {"pruning": {"criterion": taylor}, "count": 3},
}


@pytest.mark.parametrize("recipe", PRUNING)
def test_pruning_ends_with_the_same_masks_as_one_process(recipe: str) -> None:
    changes = dict(PRUNING[recipe])
    if recipe == "rigl":
        changes["pruning"] = {"regrowth": RigL(every=2, until=8), "schedule": Cubic(0.8, begin=0, end=1, every=1)}
    results = on_ranks(changes.pop("count", 2), partial(pruned, **changes))
    alone = pruned(0, **changes)
    assert same_everywhere(results) and apart(alone, results[0]) < EXACT
    for name, mask in alone["masks"].items():
        assert all(torch.equal(mask, other["masks"][name]) for other in results)
    assert sum(int((~mask).sum()) for mask in alone["masks"].values()) > 100


def test_batches_of_their_own_give_the_same_masks() -> None:
    def work(rank: int) -> dict[str, Tensor]:
        net = copy.deepcopy(network("small"))
        images = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(rank))
        pruner = Pruner(net, criterion=taylor, batches=lambda: [(images, torch.arange(8) % 4)])
        pruner.prune(0.5)
        return pruner.masks

    first, second = on_ranks(2, work)
    assert all(torch.equal(mask, second[name]) for name, mask in first.items())


def test_a_teacher_teaches_each_rank_its_own_rows() -> None:
    distillation = Distillation(network("mlp"), 0.5)
    results = on_ranks(2, partial(pruned, distillation=distillation, augment=None))
    assert same_everywhere(results)
    assert apart(pruned(0, distillation=distillation, augment=None), results[0]) < EXACT


@pytest.mark.parametrize("archs", ["same", "different"])
def test_what_is_drawn_apart_still_ends_with_the_same_bits(archs: str) -> None:
    strategy = partial(sampled, strategy=partial(sandwich, label_weight=by_skill), draw=attentive)
    strategy = partial(scaled_by_use, strategy=strategy)
    changes: dict[str, Any] = {"frozen": False, "strategy": strategy, "archs_per_rank": archs}
    assert same_everywhere(together(2, "small with dropout", **changes))


def test_archs_are_drawn_by_rank_where_asked_for() -> None:
    def drawn(rank: int, archs: str) -> list[Any]:
        seen: list[Any] = []

        def watched(net: Supernet, batch: Any, context: Any) -> Tensor:
            seen.append([arch.to_json() for arch in context.archs(net.space, 2)])
            return sandwich(net, batch, context)

        trained(rank, archs_per_rank=archs, strategy=watched)
        return seen

    supernet("small")
    same, different = (on_ranks(2, partial(drawn, archs=archs)) for archs in ("same", "different"))
    assert same[0] == same[1] == different[0] != different[1]


def test_synchronized_norms_are_those_of_one_process() -> None:
    changes = {"frozen": False, "synchronize_norms": True, "batch_size": 31, "count": 3}
    count = changes.pop("count")
    results = together(count, **changes)
    assert same_everywhere(results) and apart(trained(0, **changes), results[0]) < 1e-10


def network_trained(rank: int, **changes: Any) -> dict[str, Any]:
    net = copy.deepcopy(network("small", False))
    return outcome(net, train_network(net, data(), TrainSettings(**QUICK | changes)).history)


@pytest.mark.parametrize("synchronized", [True, False])
def test_norm_statistics_of_a_network_are_the_same_everywhere(synchronized: bool) -> None:
    results = on_ranks(2, partial(network_trained, synchronize_norms=synchronized, ema=0.9))
    assert same_everywhere(results)
    difference = apart(network_trained(0, ema=0.9), results[0])
    assert difference < 1e-10 if synchronized else 1e-4 < difference < 1


def test_another_number_of_them_resumes(tmp_path: Any) -> None:
    path = tmp_path / "training.safetensors"
    half = {"checkpoint": path, "stop_step": 5, "ema": 0.9}
    whole = trained(0, ema=0.9)
    unstopped = together(3, ema=0.9)[0]
    together(3, **half)
    assert list(tmp_path.iterdir()) == [path]
    results = together(3, **half | {"stop_step": 7})
    assert apart(results[0], trained(0, **{"stop_step": 7, "ema": 0.9})) < EXACT
    resumed = together(3, **half | {"stop_step": None})
    assert same_everywhere([unstopped, *resumed])  # as without a stop, bit by bit
    together(2, **half | {"checkpoint": tmp_path / "other"})
    assert apart(whole, trained(0, **half | {"checkpoint": tmp_path / "other", "stop_step": None})) < EXACT


def stop_on(rank_that_stops: int, event: Event, state: Any) -> None:
    if event is Event.STEP and state.step == 3 and processes().rank == rank_that_stops:
        state.stop()


@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_them_stops_all_after_the_same_step(rank: int) -> None:
    def work(mine: int) -> int:
        steps: list[int] = []
        watch = lambda event, state: steps.append(state.step)  # noqa: E731
        trained(mine, callbacks=[partial(stop_on, rank), watch])
        return steps[-1]

    assert on_ranks(2, work) == [3, 3]


def failure(work: Any, *arguments: Any, **named: Any) -> str:
    try:
        work(*arguments, **named)
    except InvalidInput as error:
        return str(error)
    return ""


def test_a_loss_that_is_not_finite_on_one_rank_ends_all() -> None:
    def spoilt(net: Any, batch: Any, context: Any) -> Tensor:
        loss = sandwich(net, batch, context)
        return loss * float("nan") if context.step == 2 and context.group.rank == 1 else loss

    said = on_ranks(2, partial(failure, trained, strategy=spoilt))
    assert all(text.startswith("the loss is nan at step 2") for text in said)


def test_data_that_fail_on_one_rank_end_all() -> None:
    def work(rank: int) -> str:
        def spoilt(images: Tensor, generator: torch.Generator) -> Tensor:
            if rank == 1:
                raise InvalidInput("image 7 cannot be read")
            return images

        try:
            trained(rank, augment=spoilt)
        except InvalidInput as error:
            return str(error)
        return ""

    assert on_ranks(2, work) == ["process 1 of 2: image 7 cannot be read", "image 7 cannot be read"]


def test_what_does_not_fit_is_refused_on_all() -> None:
    def of_other_rates(rank: int) -> str:
        return failure(trained, rank, ema=0.9 if rank else 0.8)

    first, second = on_ranks(2, of_other_rates)
    assert "trains with another ema than process 1" in first and "0.8 here, 0.9 there" in first
    assert "trains with another ema than process 0" in second
    small, parts = (
        on_ranks(2, partial(failure, trained, **given))[0]
        for given in ({"batch_size": 1}, {"batch_size": 4, "accumulation": 3})
    )
    assert small == "batch_size=1 is shared by 2 processes: give at least 2"
    assert "in 3 parts each (accumulation): give at least 6" in parts
    with pytest.raises(InvalidInput, match="archs_per_rank='other' is unknown; choices: same, different"):
        TrainSettings(**QUICK | {"archs_per_rank": "other"})
    assert processes() is ALONE
