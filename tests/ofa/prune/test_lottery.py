from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.prune.initializers import xavier_
from ofa.prune.lottery import lottery
from ofa.prune.lottery_folder import LotteryFolder
from ofa.prune.lottery_masks import largest_left


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 20), nn.ReLU(), nn.Linear(20, 3))


class Trainer:
    """Trains a few steps of SGD, the masks kept, and notes every call."""

    def __init__(self, steps: int = 6, fail_at: int | None = None) -> None:
        self.steps, self.fail_at = steps, fail_at
        self.calls: list[dict[str, Any]] = []
        self.starts: list[dict[str, Tensor]] = []

    def __call__(
        self,
        model: nn.Module,
        masks: Mapping[str, Tensor],
        seed: int,
        until_step: int | None = None,
        from_step: int = 0,
    ) -> dict[str, Any]:
        if len(self.calls) == self.fail_at:
            raise KeyboardInterrupt
        self.calls.append({"seed": seed, "until_step": until_step, "from_step": from_step})
        self.starts.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
        inputs = torch.randn(16, 8, generator=seeded(seed))
        labels = torch.randint(3, (16,), generator=seeded(seed))
        loss = torch.zeros(())
        for _ in range(from_step, self.steps if until_step is None else until_step):
            loss = nn.functional.cross_entropy(model(inputs), labels)
            model.zero_grad()
            loss.backward()
            with torch.no_grad():
                for name, parameter in model.named_parameters():
                    parameter -= 0.5 * parameter.grad * masks.get(name, torch.ones(()))
        return {"loss": loss.item()}


def test_largest_left_keeps_the_largest_of_those_that_are_left() -> None:
    trained = {
        "a.weight": torch.tensor([[9.0, -8.0, 1.0, 0.5, 7.0]]),
        "b.weight": torch.tensor([[0.1, -0.3, 0.2, 5.0]]),
    }
    masks = {
        "a.weight": torch.tensor([[False, True, True, True, True]]),
        "b.weight": torch.ones(1, 4, dtype=torch.bool),
    }
    kept = largest_left(trained, masks, 0.5)
    assert kept["a.weight"].tolist() == [[False, True, False, False, True]]
    assert kept["b.weight"].tolist() == [[False, True, False, True]]
    slower = largest_left(trained, masks, 0.25, {"b": 0.5, "a": 0.0})
    assert slower["b.weight"].sum() == 2 and torch.equal(slower["a.weight"], masks["a.weight"])
    together = largest_left(trained, masks, 3 / 9, scope="global")
    assert together["a.weight"].tolist() == [[False, True, False, False, True]]
    assert together["b.weight"].tolist() == [[False, False, False, True]]
    # Without a place of its own the second layer would be empty: 8 and 7 are larger than 5.
    two = largest_left(trained, masks, 2 / 9, scope="global")
    assert [int(mask.sum()) for mask in two.values()] == [1, 1]
    least = largest_left(trained, masks, 1e-6)
    assert [int(mask.sum()) for mask in least.values()] == [1, 1]
    alone = largest_left(trained, masks, 0.5, {"a": 0}, scope="global")
    assert torch.equal(alone["a.weight"], masks["a.weight"]) and alone["b.weight"].sum() == 2


def test_of_several_rates_the_last_that_matches_counts() -> None:
    trained = {"a.weight": torch.arange(8.0), "b.weight": torch.arange(8.0)}
    masks = {name: torch.ones(8, dtype=torch.bool) for name in trained}
    kept = largest_left(trained, masks, 0.25, {"b.weight": 0.5, "b": 0.0})
    assert [int(mask.sum()) for mask in kept.values()] == [2, 8]


def test_levels_rewind_to_the_start_and_prune_what_the_level_before_trained(tmp_path: Path) -> None:
    train = Trainer()
    rows = lottery(small, train, folder=tmp_path, rounds=2, rate=0.5, rates={"2": 0.5}, controls=(), seed=7)
    assert [(row["level"], row["kind"], row["seed"]) for row in rows] == [(at, "ticket", 7) for at in range(3)]
    assert [row["kept"] for row in rows] == [220, 80 + 42, 40 + 30]  # 60 / sqrt(2) = 42.4 and 60 / 2
    assert rows[1]["density"] == 122 / 220 and rows[1]["asked"] == 0.5
    files = LotteryFolder(tmp_path)
    start = files.start()
    assert start is not None
    with torch.random.fork_rng():
        torch.manual_seed(7)
        fresh = small().state_dict()
    for level in range(3):
        masks = files.masks(level)
        for name, tensor in train.starts[level].items():
            assert torch.equal(tensor, fresh[name] * masks[name] if name in masks else fresh[name])
        if level:
            before, trained = files.masks(level - 1), files.trained(level - 1)
            for name, mask in masks.items():
                assert not bool((mask & ~before[name]).any())
                gone = before[name] & ~mask
                assert trained[name][gone].abs().max() <= trained[name][mask].abs().min()
        for name, mask in masks.items():
            assert not files.trained(level)[name][~mask].any()


def test_controls_differ_from_the_ticket_in_one_thing_each(tmp_path: Path) -> None:
    train = Trainer()
    rows = lottery(small, train, folder=tmp_path, densities=[0.4], seed=3)
    assert [(row["level"], row["kind"]) for row in rows] == [(0, "ticket"), (1, "ticket"), (1, "reinit"), (1, "random")]
    assert len({row["kept"] for row in rows[1:]}) == 1 and {call["seed"] for call in train.calls} == {3}
    dense, ticket, reinit, random = train.starts
    for name, mask in LotteryFolder(tmp_path).masks(1).items():
        assert torch.equal(reinit[name] != 0, mask) and torch.equal(ticket[name] != 0, mask)
        assert not bool((reinit[name] == ticket[name])[mask].any())
        elsewhere = random[name] != 0
        assert elsewhere.sum() == mask.sum() and not torch.equal(elsewhere, mask)
        assert torch.equal(random[name], dense[name] * elsewhere)


@pytest.mark.parametrize("fail_at", range(7))
def test_a_run_that_was_cut_off_goes_on_with_the_same_rows(tmp_path: Path, fail_at: int) -> None:
    ask = partial(lottery, small, rounds=2, rate=0.4, scope="global", initializer=xavier_)
    whole = ask(Trainer(), folder=tmp_path / "whole")
    cut = Trainer(fail_at=fail_at)
    with pytest.raises(KeyboardInterrupt):
        ask(cut, folder=tmp_path / "cut")
    rest = Trainer()
    assert ask(rest, folder=tmp_path / "cut") == whole
    assert len(cut.calls) + len(rest.calls) == 7 == len(whole)
    again = Trainer()
    longer = lottery(small, again, folder=tmp_path / "cut", rounds=3, rate=0.4, scope="global", initializer=xavier_)
    assert longer[:7] == whole and len(again.calls) == 3


def test_late_rewinding_goes_back_to_the_weights_after_some_steps(tmp_path: Path) -> None:
    train = Trainer()
    rows = lottery(small, train, folder=tmp_path, rounds=1, rewind_step=2)
    steps = [(call["until_step"], call["from_step"]) for call in train.calls]
    assert steps == [(2, 0), (None, 2), (None, 2), (None, 0), (None, 2)]  # start, dense, ticket, reinit, random
    plain = Trainer()
    dense = lottery(small, plain, folder=tmp_path / "plain", rounds=0)
    assert rows[0]["loss"] == dense[0]["loss"]  # two steps and then the rest are the whole training
    start = LotteryFolder(tmp_path).start()
    assert start is not None and not torch.equal(start["0.weight"], plain.starts[0]["0.weight"])
    mask = LotteryFolder(tmp_path).masks(1)["0.weight"]
    assert torch.equal(train.starts[2]["0.weight"], start["0.weight"] * mask)


def test_the_global_generator_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    lottery(small, Trainer(), folder=tmp_path, rounds=1)
    assert torch.equal(torch.get_rng_state(), state)


def forgets_masks(model: nn.Module, masks: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 1
    return {}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 1, "controls": ["reinti"]}, "did you mean reinit"),
        ({"densities": [0.5, 0.6]}, "must fall"),
        ({}, "give one of them"),
        ({"rounds": 1, "rate": 1.0}, "rate=1.0"),
        ({"rounds": 1, "scope": "globl"}, "did you mean global"),
        ({"rounds": 1, "rates": {"5": 0.5}}, "matches no pruned weight"),
        ({"rounds": 1, "rewind_step": -1}, "rewind_step=-1"),
        ({"rounds": 1, "train": forgets_masks}, "brought back"),
        ({"rounds": 1, "train": lambda model, masks, seed: {"accuracy": float("nan")}}, "not JSON"),
    ],
)
def test_wrong_settings_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        lottery(small, options.pop("train", Trainer()), folder=tmp_path, **options)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    lottery(small, Trainer(), folder=tmp_path, densities=[0.5], controls=())
    with pytest.raises(InvalidInput, match="seed was 0, now 1"):
        lottery(small, Trainer(), folder=tmp_path, densities=[0.5], seed=1)
    with pytest.raises(InvalidInput, match=r"is of density 0.5, level 1 was now requested with 0.6"):
        lottery(small, Trainer(), folder=tmp_path, densities=[0.6], controls=())
    (tmp_path / "level_01.ticket.json").write_text("{")
    with pytest.raises(InvalidInput, match="damaged"):
        lottery(small, Trainer(), folder=tmp_path, densities=[0.5], controls=())
