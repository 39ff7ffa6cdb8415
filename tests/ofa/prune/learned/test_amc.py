import json

import pytest
import torch

import ofa
from ofa.prune.learned import AgentSettings, amc, error_times_log_cost
from ofa.prune.units import cut_units
from tests.ofa.nets import shipped
from tests.ofa.prune.learned.planted import FINE, agreement, planted, vectors

QUICK = AgentSettings(hidden=(64, 64), actor_rate=3e-4, critic_rate=3e-3, noise_decay=0.96, warmup=30)


def test_the_agent_keeps_the_layer_that_needs_its_width() -> None:
    """4 of 16 units matter in the first layer and all in the second; equal ratios would lose a third."""
    model, matter = planted((4, 16), seed=5)
    images = vectors()
    supernet = ofa.Supernet(model, images[:2], FINE)
    evaluate = agreement(model, images)
    result = amc(supernet, evaluate, budget=0.5, episodes=100, settings=QUICK, seed=0)
    accuracies = [row["accuracy"] for row in result.history]
    uniform = ofa.Supernet(planted((4, 16), seed=5)[0], images[:2], FINE)
    ofa.sort_channels_(uniform)
    equal = evaluate(uniform.extract(uniform.space.arch({"width.0": 10, "width.2": 10})))
    assert result.accuracy > 0.99 > 0.7 > equal
    assert result.units["0"][matter[0]].all() and int(result.units["2"].sum()) >= 14
    assert sum(accuracies[-20:]) / 20 > sum(accuracies[:30]) / 30 + 0.15
    assert all(row["cost"] <= 0.5 * result.full_cost for row in result.history)
    assert result.accuracy == max(accuracies) == evaluate(result.net)


def test_what_is_found_agrees_in_every_form() -> None:
    supernet, images = shipped("lenet5")
    before = {key: value.clone() for key, value in supernet.model.state_dict().items()}
    state = torch.random.get_rng_state()
    rows: list[object] = []
    result = amc(
        supernet,
        lambda net: 1 / (1 + float(net(images).detach().abs().sum())),
        episodes=8,
        budget=0.6,
        progress=rows.append,
    )
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in supernet.model.state_dict().items())
    assert json.loads(json.dumps(rows)) == json.loads(json.dumps(result.history)) and len(rows) == 8
    assert result.arch is not None and result.cost == ofa.cost(supernet, [result.arch])["macs"][0]
    with torch.no_grad():
        masked = result.masked(images)
        torch.testing.assert_close(result.net(images), masked, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(cut_units(supernet, result.units)(images), masked, rtol=1e-9, atol=1e-9)
    for name, mask in result.masks.items():
        assert not result.masked.get_parameter(name)[~mask].any()


def test_a_seed_gives_the_same_networks() -> None:
    model, _ = planted((4, 8))
    images = vectors(64)
    supernet = ofa.Supernet(model, images[:2], FINE)
    settings = AgentSettings(hidden=(16, 16), warmup=4)
    runs = [
        amc(supernet, agreement(model, images), episodes=12, settings=settings, seed=seed).history for seed in (0, 0, 1)
    ]
    assert runs[0] == runs[1] != runs[2]
    noise = [row["noise"] for row in runs[0]]
    assert noise[:4] == [None] * 4 and noise[4:6] == pytest.approx([0.5, 0.475])


def test_without_a_budget_the_reward_weighs_errors_with_the_cost() -> None:
    model, _ = planted((4, 8))
    images = vectors(64)
    supernet = ofa.Supernet(model, images[:2], FINE)
    result = amc(
        supernet, agreement(model, images), budget=None, episodes=30, reward=error_times_log_cost, metric="params"
    )
    best = max(result.history, key=lambda row: (row["reward"], -row["cost"]))
    assert (result.accuracy, result.cost) == (best["accuracy"], best["cost"])
    assert best["reward"] == pytest.approx(error_times_log_cost(best["accuracy"], best["cost"]))


def test_no_network_is_evaluated_twice_and_accuracies_are_checked() -> None:
    model, _ = planted((4, 8))
    supernet = ofa.Supernet(model, vectors(2), ofa.SpaceRules(width_ratios=[0.5, 1], multiple_of=1))
    calls: list[int] = []

    def evaluate(net: torch.nn.Module) -> float:
        calls.append(1)
        with torch.no_grad():
            for parameter in net.parameters():  # the network is the function's own
                parameter.zero_()
        return 0.5

    result = amc(supernet, evaluate, budget=1.0, episodes=30)
    assert 1 < len(calls) == len({tuple(row["width"].values()) for row in result.history})
    assert any(bool(p.any()) for p in result.net.parameters())
    with pytest.raises(ofa.InvalidInput, match=r"\[0, 1\]"):
        amc(supernet, lambda net: 97.0, episodes=1)
    with pytest.raises(ofa.InvalidInput, match="at least 1"):
        amc(supernet, evaluate, episodes=0)
