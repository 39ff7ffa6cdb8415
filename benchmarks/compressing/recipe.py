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
from ofa.compress import codebook, fold_norm_statistics_, share, sharing_of, with_codebooks, without_codebooks
from ofa.compress.codebooks import nearest_entries
from ofa.data import Dataset
from ofa.data.augment import horizontal_flip
from ofa.norms import BatchNorm
from ofa.prune import Cubic, Pruner, resolved
from ofa.prune.allocation import global_, lamp
from ofa.prune.criteria import magnitude, magnitude_per_bit
from ofa.prune.slim import zero_dead_units_
from ofa.sorting import nonzeros, sort_channels_
from ofa.train import Distillation, TrainSettings

TEMPERATURE = 4.0
BIAS_LEVELS = 16
NORM_LEVELS = 256
VALUE_BITS = 2.0


@dataclass(frozen=True)
class Setting:
    """What all rows of a model have in common.

    Attributes:
        model: as `make_network` knows it.
        dense, control: epochs of the dense training, and of the control after it: as many as the levels take, but for
            one further level where the curve is followed to where it breaks.
        levels: compression (all weights / kept weights) -> epochs from the level before.
        shared: by level, how many values each layer's weights take.
        tuned: epochs of codebooks.
        data: as `DATA` names it.
        rate: learning rate of AdamW.
        mirrored: whether half of the training images are.
        bit_price: of shared values, see `ofa.compress.share`.
        by_bits: whether weights are pruned by `magnitude_per_bit` in place of magnitude.
        by_layer: whether they rank by their share in their own layer (LAMP), which leaves depthwise kernels some.
    """

    model: str
    dense: int
    control: int
    levels: dict[int, int]
    shared: dict[int, tuple[int, ...]]
    tuned: int
    data: str = "mnist"
    rate: float = 1e-3
    mirrored: bool = False
    bit_price: float = 0.0
    by_bits: bool = False
    by_layer: bool = False

    def terms(self, epochs: int, seed: int) -> TrainSettings:
        """Returns the settings of a training."""
        augment = horizontal_flip if self.mirrored else None
        return replace(terms(epochs, seed), optimizer=adamw(self.rate), augment=augment)


SHORT = Setting("lenet300", dense=8, control=16, levels={12: 8, 28: 8}, shared={12: (8,), 28: (8,)}, tuned=1)
SETTINGS = {
    "lenet300": Setting(
        "lenet300",
        dense=40,
        control=75,
        levels={12: 25, 20: 25, 30: 25, 45: 25},
        shared={12: (8, 16), 30: (6, 8, 16), 45: (8,)},
        tuned=3,
    ),
    "lenet300_short": SHORT,
    "lenet300_price": replace(SHORT, bit_price=0.01),
    "lenet300_bits": replace(SHORT, bit_price=0.01, by_bits=True),
    "lenet300_long": Setting(
        "lenet300",
        dense=40,
        control=85,
        levels={12: 25, 26: 50},
        shared={26: (8, 16)},
        tuned=10,
        bit_price=0.01,
        by_bits=True,
    ),
    "lenet5": Setting(
        "lenet5",
        dense=8,
        control=12,
        levels={12: 4, 30: 4, 60: 4, 108: 6},
        shared={30: (8,), 60: (8,), 108: (8,)},
        tuned=1,
    ),
    "resnet20": Setting(
        "resnet20",
        dense=12,
        control=18,
        levels={4: 6, 8: 6, 16: 6},
        shared={4: (16,), 8: (16,), 16: (8, 16)},
        tuned=1,
        data="cifar10",
        rate=3e-3,
        mirrored=True,
    ),
    "mobilenet": Setting(
        "mobilenet",
        dense=6,
        control=6,
        levels={4: 3, 8: 3},
        shared={4: (16,), 8: (16,)},
        tuned=1,
        data="cifar10",
        rate=3e-3,
        mirrored=True,
        by_layer=True,
    ),
}


def control(setting: Setting, own: nn.Module, teacher: nn.Module, data: Dataset, seed: int) -> nn.Module:
    """Returns the dense network, retrained as long as the levels take, from the same teacher."""
    net = copy.deepcopy(own)
    fit(net, data, setting.terms(setting.control, seed + 1000), distillation=_taught(teacher))
    return net


def pruned(setting: Setting, net: nn.Module, teacher: nn.Module, data: Dataset, seed: int, level: int) -> nn.Module:
    """Returns a copy of a network, pruned on to one weight in `level` of all layers together."""
    net = copy.deepcopy(net)
    matrices = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    already = 1 - sum(int((p != 0).sum()) for p in matrices) / sum(p.numel() for p in matrices)

    def prune(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, _: Any) -> Pruner:
        cubic = Cubic(1 - 1 / level, begin=0.0, end=0.6, every=100, initial=already)
        criterion = partial(magnitude_per_bit, value_bits=VALUE_BITS) if setting.by_bits else magnitude
        allocation = lamp if setting.by_layer else global_
        schedule = resolved(cubic, total_steps)
        return Pruner(model, optimizer, criterion=criterion, allocation=allocation, schedule=schedule)

    fit(net, data, setting.terms(setting.levels[level], seed + 1000), prune=prune, distillation=_taught(teacher))
    return net


def shared(
    setting: Setting, net: nn.Module, teacher: nn.Module, data: Dataset, seed: int, levels: int
) -> tuple[nn.Module, float]:
    """Returns a network of few values, its codebooks trained, and the test error before they were."""
    net = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    example = torch.zeros(1, *data.input_shape)
    zero_dead_units_(Supernet(net, example))
    norms = [path for path, module in net.named_modules() if isinstance(module, BatchNorm)]
    sharing = share(net, levels={"*": levels, "*.bias": BIAS_LEVELS}, keep=norms, bit_price=setting.bit_price)
    before = error(sharing.put(copy.deepcopy(net)), data)
    trained = with_codebooks(net, sharing)
    optimizer = adamw(0.3 * setting.rate, 0.0)
    settings = replace(setting.terms(setting.tuned, seed + 2000), optimizer=optimizer)
    fit(trained, data, settings, distillation=_taught(teacher))
    ended = without_codebooks(trained)
    rounded = sharing_of(trained)
    for tensor in rounded.tensors.values():  # a table of halves; what they lose is far below what training moves
        tensor.codebook.copy_(tensor.codebook.bfloat16())
    rounded.put(ended)
    zero_dead_units_(Supernet(ended, example))  # a price may have taken a unit's last weight
    share_norms_(ended)
    sort_channels_(Supernet(ended, example), nonzeros)
    return ended, before


def share_norms_(net: nn.Module) -> None:
    """Gives the scales and shifts of all batch norms few values in all, halves like those of the codebooks."""
    fold_norm_statistics_(net)
    norms = [module for module in net.modules() if isinstance(module, BatchNorm)]
    vectors = [parameter for norm in norms for parameter in norm.parameters()]
    if vectors:
        entries = codebook(torch.cat([vector.detach() for vector in vectors]), NORM_LEVELS).bfloat16().float()
        with torch.no_grad():
            for vector in vectors:
                vector.copy_(entries[nearest_entries(vector, entries)])


def _taught(teacher: nn.Module) -> Distillation:
    return Distillation(teacher, 1.0, temperature=TEMPERATURE)
