import math

import pytest
import torch
from scipy import stats

import ofa
from ofa.prune.learned import AgentSettings
from ofa.prune.learned.ddpg import Agent, Transition, truncated_normal


@pytest.mark.parametrize(("mean", "deviation"), [(0.1, 0.5), (0.5, 0.05), (1.0, 0.3), (0.0, 0.01)])
def test_noise_is_the_truncated_normal_distribution(mean: float, deviation: float) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = [truncated_normal(mean, deviation, generator) for _ in range(2000)]
    assert 0 <= min(draws) and max(draws) <= 1
    bounds = -mean / deviation, (1 - mean) / deviation
    test = stats.kstest(draws, stats.truncnorm(*bounds, loc=mean, scale=deviation).cdf)
    assert test.pvalue > 0.01


def test_the_actor_finds_the_best_ratio_of_each_state() -> None:
    """One decision an episode: the reward falls off from 0.2 in one state and from 0.8 in the other."""
    settings = AgentSettings(hidden=(32, 32), actor_rate=1e-3, critic_rate=1e-2, warmup=60, replay=500)
    generator = torch.Generator().manual_seed(0)
    agent = Agent(1, 1, settings, generator)
    states, best = [torch.tensor([0.0]), torch.tensor([1.0])], [0.2, 0.8]
    for episode in range(360):
        number = episode % 2
        action = agent.act(states[number], episode)
        agent.memory.append(Transition(states[number], action, -abs(action - best[number]), states[number], True))
        if episode >= settings.warmup:
            agent.learn()
    with torch.no_grad():
        answers = [float(torch.sigmoid(agent.actor(state))) for state in states]
    assert answers == pytest.approx(best, abs=0.12)


def test_one_update_by_hand() -> None:
    settings = AgentSettings(hidden=(3, 3), batch_size=1, discount=0.5, tau=0.25, critic_rate=1e-12, actor_rate=1e-12)
    agent = Agent(2, 2, settings, torch.Generator().manual_seed(1))
    before = [parameter.clone() for parameter in agent.slow_actor.parameters()]
    with torch.no_grad():
        for parameter in agent.actor.parameters():
            parameter.add_(1.0)
    state, following = torch.tensor([0.1, 0.2]), torch.tensor([0.3, 0.4])
    agent.memory.append(Transition(state, 0.6, -0.7, following, False))
    agent.learn()
    # The first batch sets the baseline to its own mean, so the target is half the slow critic's later value.
    assert agent.baseline == pytest.approx(-0.7)
    for slow, start in zip(agent.slow_actor.parameters(), before, strict=True):
        torch.testing.assert_close(slow, start + 0.25)
    agent.memory[0] = Transition(state, 0.6, 0.3, following, True)
    agent.learn()
    assert agent.baseline == pytest.approx(-0.7 + 0.5 * (0.3 + 0.7))


def test_the_critic_learns_returns_less_the_baseline() -> None:
    settings = AgentSettings(hidden=(16, 16), critic_rate=1e-2, actor_rate=1e-9, tau=0.2, batch_size=32)
    agent = Agent(1, 2, settings, torch.Generator().manual_seed(0))
    first, second = torch.tensor([0.0]), torch.tensor([1.0])
    for reward in (1.0, 3.0):
        agent.memory.append(Transition(first, reward / 4, reward, second, True))
    for _ in range(300):
        agent.learn()
    with torch.no_grad():
        values = [float(agent.critic(torch.tensor([0.0, action]))) for action in (0.25, 0.75)]
    assert values[1] - values[0] == pytest.approx(2.0, abs=0.15)
    assert math.fsum(values) / 2 == pytest.approx(0.0, abs=0.3)


def test_the_global_generator_is_left_alone() -> None:
    state = torch.random.get_rng_state()
    agent = Agent(2, 1, AgentSettings(warmup=0), torch.Generator().manual_seed(0))
    agent.act(torch.zeros(2), 0)
    assert torch.equal(torch.random.get_rng_state(), state)
    # The last layer is small, so the first action without noise is in the middle.
    assert abs(float(torch.sigmoid(agent.actor(torch.ones(2))).detach()) - 0.5) < 0.05


@pytest.mark.parametrize("wrong", [{"tau": 0}, {"noise": -1}, {"batch_size": 0}, {"warmup": 1.5}, {"hidden": (3,)}])
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ofa.InvalidInput, match=next(iter(wrong))):
        AgentSettings(**wrong)
