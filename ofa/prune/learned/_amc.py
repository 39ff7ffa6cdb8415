"""AMC: an agent that learns how wide each layer should be, within a budget, without fine-tuning in between."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.errors import InvalidInput, is_whole
from ofa.prune.learned.amc_environment import FEATURES, Environment, Measure, make_environment
from ofa.prune.learned.ddpg import Agent, AgentSettings, Transition
from ofa.prune.learned.rewards import LearnedNetwork, Reward, negative_error
from ofa.prune.rewinding import remove_
from ofa.prune.units import unit_masks
from ofa.sorting import Criterion, importance_order, l1, reorder_

if TYPE_CHECKING:
    from ofa.supernet import Supernet

# A plain network of its own weights -> accuracy in [0, 1]. It may remeasure norm statistics, or even tune.
Evaluate = Callable[[nn.Module], float]


def amc(
    supernet: Supernet,
    evaluate: Evaluate,
    *,
    budget: float | None = 0.5,
    metric: str = "macs",
    measure: Measure | None = None,
    episodes: int = 400,
    settings: AgentSettings | None = None,
    reward: Reward = negative_error,
    criterion: Criterion = l1,
    seed: int = 0,
    progress: Callable[[Mapping[str, Any]], None] | None = None,
) -> LearnedNetwork:
    """Returns the network of the highest reward that the agent met, the cheaper one of equals.

    In each episode the agent walks through the widths in order of use, sees 11 features of each layer and
    answers with the ratio to keep; the ratio becomes a width of the supernet's space, no wider than the budget
    allows. Within a layer the most important channels stay, wherever they are. The same seed gives the same
    networks; a repeated combination of widths is not evaluated again.

    Args:
        supernet: the model and its space (many `width_ratios` make fine steps); neither changes.
        evaluate: accuracy of a network, on images held back from training (not the test images).
        budget: fraction of the full cost that may stay; None: no limit, for `reward=error_times_log_cost`.
        metric: what the budget counts, one of `ofa._cost.COSTS`.
        measure: costs of Archs in place of `metric`, such as predicted latencies in ms.
        episodes: networks that are tried, the warm-up's included.
        settings: of the agent; its warm-up is at most a quarter of the episodes.
        reward: from accuracy and cost.
        criterion: ranks each group's units; see `ofa.sorting`.
        seed: of every draw.
        progress: called with each row of the history.

    Source: He et al. 2018 (AMC), 1802.03494. Left out: its least-squares reconstruction of the next layer.

    Raises:
        InvalidInput: no episode, a budget that cannot be met, or an accuracy outside [0, 1].
    """
    if not is_whole(episodes, 1):
        raise InvalidInput(f"episodes={episodes!r}: give a whole number, at least 1")
    environment = make_environment(supernet, budget, metric, measure)
    order = importance_order(supernet, criterion)
    ranked = copy.deepcopy(supernet)
    reorder_(ranked, order)
    settings = settings or AgentSettings(warmup=min(AgentSettings.warmup, episodes // 4))
    agent = Agent(len(FEATURES), len(environment.choices), settings, torch.Generator().manual_seed(seed))
    accuracies: dict[Arch, float] = {}
    history: list[dict[str, Any]] = []
    best: tuple[float, float] | None = None
    chosen = environment.arch([])
    for episode in range(episodes):
        states, actions, widths = _walk(environment, agent, episode)
        arch = environment.arch(widths)
        if arch not in accuracies:
            accuracies[arch] = _checked(evaluate(ranked.extract(arch)))
        cost = float(environment.measure([arch])[0])
        paid = reward(accuracies[arch], cost)
        for number, action in enumerate(actions):
            last = number == len(actions) - 1
            agent.memory.append(Transition(states[number], action, paid, states[number + 1], last))
            if episode >= settings.warmup:
                agent.learn()
        row = {"episode": episode, "accuracy": accuracies[arch], "cost": cost, "reward": paid}
        history.append(row | {"noise": agent.deviation(episode), "width": dict(arch.width)})
        if best is None or (paid, -cost) > best:
            best, chosen = (paid, -cost), arch
        if progress is not None:
            progress(history[-1])
    return _result(supernet, ranked, order, environment, chosen, accuracies[chosen], history)


def _walk(environment: Environment, agent: Agent, episode: int) -> tuple[list[Tensor], list[float], list[int]]:
    """One episode: the states (one more than decisions), the requested ratios and the widths chosen."""
    widths: list[int] = []
    actions: list[float] = []
    states = [torch.from_numpy(environment.state(widths)).float()]
    for _ in environment.choices:
        actions.append(agent.act(states[-1], episode))
        widths.append(environment.decide(widths, actions[-1]))
        states.append(torch.from_numpy(environment.state(widths)).float())
    return states, actions, widths


def _checked(accuracy: float) -> float:
    if not 0 <= accuracy <= 1:
        raise InvalidInput(f"evaluate returned {accuracy!r}: it must return an accuracy in [0, 1]")
    return float(accuracy)


def _result(
    supernet: Supernet,
    ranked: Supernet,
    order: Mapping[str, Tensor],
    environment: Environment,
    arch: Arch,
    accuracy: float,
    history: list[dict[str, Any]],
) -> LearnedNetwork:
    kept_units = {}
    for group, units in zip(supernet.groups, supernet.units(arch), strict=True):
        keep = torch.zeros(group.units, dtype=torch.bool)
        keep[:units] = True
        if group.name not in supernet.unsortable:
            keep[order[group.name]] = keep.clone()
        kept_units[group.name] = keep
    masks = unit_masks(supernet, kept_units)
    masked = copy.deepcopy(supernet.model)
    remove_(masked, masks)
    cost = float(environment.measure([arch])[0])
    net = ranked.extract(arch)
    return LearnedNetwork(net, masked, kept_units, masks, accuracy, cost, environment.full, tuple(history), arch)
