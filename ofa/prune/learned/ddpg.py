"""DDPG with one action in [0, 1]: an actor, a critic, slow copies of both, replay, truncated normal noise."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ofa.errors import InvalidInput, is_whole


def linear_layer(inputs: int, outputs: int, bound: float, generator: torch.Generator) -> nn.Linear:
    """Returns a layer whose weights and biases are uniform within `bound`; the global generator is not touched."""
    # Built on the meta device, because the layer's own initialization would draw from the global generator.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.uniform_(-bound, bound, generator=generator)
    return layer


@dataclass(frozen=True)
class AgentSettings:
    """How the agent learns; the defaults are those of AMC.

    Attributes:
        hidden: units of the two hidden layers of actor and critic.
        actor_rate, critic_rate: learning rates of Adam.
        tau: how far the slow copies move towards the networks at each update.
        batch_size: transitions per update.
        discount: of later values, 1 being none.
        replay: transitions that are remembered, for each layer that is decided.
        warmup: episodes of uniform actions, without learning.
        noise: standard deviation of the noise after the warm-up; it is multiplied by `noise_decay` each episode.
        baseline_rate: how far the baseline, which rewards are measured from, moves to each batch's mean reward.

    Source: He et al. 2018 (AMC), 1802.03494, section 4, and its released settings; Lillicrap et al. 2016, 1509.02971.
    """

    hidden: tuple[int, int] = (300, 300)
    actor_rate: float = 1e-4
    critic_rate: float = 1e-3
    tau: float = 0.01
    batch_size: int = 64
    discount: float = 1.0
    replay: int = 100
    warmup: int = 100
    noise: float = 0.5
    noise_decay: float = 0.95
    baseline_rate: float = 0.5

    def __post_init__(self) -> None:
        for name in ("actor_rate", "critic_rate", "noise"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name}={getattr(self, name)!r}: give a number above 0")
        for name in ("tau", "noise_decay", "baseline_rate", "discount"):
            if not 0 < getattr(self, name) <= 1:
                raise InvalidInput(f"{name}={getattr(self, name)!r}: give a number above 0 and at most 1")
        for name, least in (("batch_size", 1), ("replay", 1), ("warmup", 0)):
            value = getattr(self, name)
            if not is_whole(value, least):
                raise InvalidInput(f"{name}={value!r}: give a whole number, at least {least}")
        if len(self.hidden) != 2 or min(self.hidden) < 1:
            raise InvalidInput(f"hidden={self.hidden!r}: give two numbers of units, each at least 1")


@dataclass(frozen=True)
class Transition:
    """One decision: the state (features,), the requested ratio, the reward, the next state, whether it was the last."""

    state: Tensor
    action: float
    reward: float
    following: Tensor
    last: bool


def truncated_normal(mean: float, deviation: float, generator: torch.Generator) -> float:
    """Returns a draw of the normal distribution with these two, given that it lies in [0, 1]; `mean` does too."""
    low, high = (
        float(torch.special.ndtr(torch.tensor((bound - mean) / deviation, dtype=torch.float64))) for bound in (0, 1)
    )
    uniform = float(torch.rand((), generator=generator, dtype=torch.float64))
    quantile = torch.special.ndtri(torch.tensor(low + uniform * (high - low), dtype=torch.float64))
    return min(1.0, max(0.0, mean + deviation * float(quantile)))


class Agent:
    """An actor and a critic that learn from transitions; every draw comes from the given generator."""

    def __init__(self, features: int, layers: int, settings: AgentSettings, generator: torch.Generator) -> None:
        self.settings = settings
        self.generator = generator
        self.actor = _network(features, settings.hidden, generator)
        self.critic = _network(features + 1, settings.hidden, generator)
        self.slow_actor, self.slow_critic = copy.deepcopy(self.actor), copy.deepcopy(self.critic)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=settings.actor_rate)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=settings.critic_rate)
        self.memory: deque[Transition] = deque(maxlen=settings.replay * layers)
        self.baseline: float | None = None

    def deviation(self, episode: int) -> float | None:
        """Returns the noise's standard deviation in an episode; None in the warm-up, whose actions are uniform."""
        after = episode - self.settings.warmup
        return None if after < 0 else self.settings.noise * self.settings.noise_decay**after

    def act(self, state: Tensor, episode: int) -> float:
        """Returns a ratio in [0, 1] for a state (features,): uniform in the warm-up, then the actor's with noise."""
        deviation = self.deviation(episode)
        if deviation is None:
            return float(torch.rand((), generator=self.generator))
        with torch.no_grad():
            mean = float(torch.sigmoid(self.actor(state)))
        return truncated_normal(mean, deviation, self.generator)

    def learn(self) -> None:
        """One update of critic, actor and their slow copies, from transitions drawn from the memory."""
        settings = self.settings
        drawn = torch.randint(len(self.memory), (settings.batch_size,), generator=self.generator).tolist()
        batch = [self.memory[number] for number in drawn]
        states, following = (torch.stack(values) for values in (_each(batch, "state"), _each(batch, "following")))
        actions = torch.tensor([[transition.action] for transition in batch])
        rewards = torch.tensor([[transition.reward] for transition in batch])
        goes_on = torch.tensor([[float(not transition.last)] for transition in batch])
        mean = float(rewards.mean())
        rate = settings.baseline_rate
        self.baseline = mean if self.baseline is None else self.baseline + rate * (mean - self.baseline)
        with torch.no_grad():
            later = self.slow_critic(torch.cat([following, torch.sigmoid(self.slow_actor(following))], dim=1))
            target = rewards - self.baseline + settings.discount * goes_on * later
        self.critic_optimizer.zero_grad()
        error = functional.mse_loss(self.critic(torch.cat([states, actions], dim=1)), target)
        torch.autograd.backward(error)
        self.critic_optimizer.step()
        self.actor_optimizer.zero_grad()
        value = self.critic(torch.cat([states, torch.sigmoid(self.actor(states))], dim=1))
        torch.autograd.backward(-value.mean())
        self.actor_optimizer.step()
        for slow, network in ((self.slow_actor, self.actor), (self.slow_critic, self.critic)):
            with torch.no_grad():
                for slow_parameter, parameter in zip(slow.parameters(), network.parameters(), strict=True):
                    slow_parameter.lerp_(parameter, settings.tau)


def _each(batch: Sequence[Transition], name: str) -> list[Tensor]:
    return [getattr(transition, name) for transition in batch]


def _network(inputs: int, hidden: tuple[int, int], generator: torch.Generator) -> nn.Sequential:
    """Two hidden layers; uniform weights within 1 / sqrt(inputs), the last within 0.003 (Lillicrap et al. 2016)."""
    sizes = (inputs, *hidden, 1)
    layers: list[nn.Module] = []
    for number, (size, outputs) in enumerate(pairwise(sizes)):
        is_last = number == len(hidden)
        layers.append(linear_layer(size, outputs, 0.003 if is_last else size**-0.5, generator))
        layers += [] if is_last else [nn.ReLU()]
    return nn.Sequential(*layers)
