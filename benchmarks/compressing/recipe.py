"""Dense networks, their control, pruned ones, and files of shared weights: what one row of the table is made of."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.pruning.setting import adamw, error, fit, terms
from ofa import Supernet
from ofa.compress import share, sharing_of, with_codebooks, without_codebooks
from ofa.data import Dataset
from ofa.prune import Cubic, Pruner, resolved
from ofa.prune.slim import zero_dead_units_
from ofa.sorting import nonzeros, sort_channels_
from ofa.train import Distillation
from ofa.train.schedules import cosine

TEMPERATURE = 4.0
BIAS_LEVELS = 16


@dataclass(frozen=True)
class Setting:
    """What all rows of a model have in common.

    Attributes:
        model: "lenet300" or "lenet5".
        dense, control: epochs of the dense training, and of the control after it: as many as the levels take, but for
            one further level where the curve is followed to where it breaks.
        levels: compression (all weights / kept weights) -> epochs from the level before.
        shared: by level, how many values each layer's weights take.
        tuned: epochs of codebooks.
    """

    model: str
    dense: int
    control: int
    levels: dict[int, int]
    shared: dict[int, tuple[int, ...]]
    tuned: int


SETTINGS = {
    "lenet300": Setting(
        "lenet300",
        dense=40,
        control=75,
        levels={12: 25, 20: 25, 30: 25, 45: 25},
        shared={12: (8, 16), 30: (6, 8, 16), 45: (8,)},
        tuned=3,
    ),
    "lenet300_short": Setting(
        "lenet300", dense=8, control=20, levels={12: 10, 28: 10}, shared={12: (16,), 28: (8, 16)}, tuned=1
    ),
    "lenet5": Setting(
        "lenet5",
        dense=8,
        control=12,
        levels={12: 4, 30: 4, 60: 4, 108: 6},
        shared={30: (8,), 60: (8,), 108: (8,)},
        tuned=1,
    ),
}


def control(setting: Setting, own: nn.Module, teacher: nn.Module, data: Dataset, seed: int) -> nn.Module:
    """Returns the dense network, retrained as long as the levels take, from the same teacher."""
    net = copy.deepcopy(own)
    fit(net, data, terms(setting.control, seed + 1000), distillation=_taught(teacher))
    return net


def pruned(setting: Setting, net: nn.Module, teacher: nn.Module, data: Dataset, seed: int, level: int) -> nn.Module:
    """Returns a copy of a network, pruned on to one weight in `level` by global magnitude."""
    net = copy.deepcopy(net)
    matrices = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    already = 1 - sum(int((p != 0).sum()) for p in matrices) / sum(p.numel() for p in matrices)

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, _: Any) -> Pruner:
        cubic = Cubic(1 - 1 / level, begin=0.0, end=0.6, every=100, initial=already)
        return Pruner(model, optimizer, schedule=resolved(cubic, total_steps))

    fit(net, data, terms(setting.levels[level], seed + 1000), prune=prune, distillation=_taught(teacher))
    return net


def shared(
    setting: Setting, net: nn.Module, teacher: nn.Module, data: Dataset, seed: int, levels: int
) -> tuple[nn.Module, float]:
    """Returns a network of few values, its codebooks trained, and the test error before they were."""
    net = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    example = torch.zeros(1, *data.input_shape)
    zero_dead_units_(Supernet(net, example))
    sharing = share(net, levels={"*": levels, "*.bias": BIAS_LEVELS})
    before = error(sharing.put(copy.deepcopy(net)), data)
    trained = with_codebooks(net, sharing)
    settings = replace(
        terms(setting.tuned, seed + 2000), optimizer=adamw(3e-4, 0.0), schedule=partial(cosine, warmup=0.1)
    )
    fit(trained, data, settings, distillation=_taught(teacher))
    ended = without_codebooks(trained)
    rounded = sharing_of(trained)
    for tensor in rounded.tensors.values():  # a table of halves; what they lose is far below what training moves
        tensor.codebook.copy_(tensor.codebook.bfloat16())
    rounded.put(ended)
    sort_channels_(Supernet(ended, example), nonzeros)
    return ended, before


def _taught(teacher: nn.Module) -> Distillation:
    return Distillation(teacher, 1.0, temperature=TEMPERATURE)
