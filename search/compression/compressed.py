"""What a stage of a compression is given and returns (Compressed), and what it is done with (StageContext)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from ofa.checkpoint import weights
from ofa.compress import Sharing
from ofa.data import Dataset
from ofa.task import Task
from ofa.train import TrainSettings
from search.run.compressed_cards import Factors
from search.run.training_cards import TrainingStep


@dataclass(frozen=True)
class Compressed:
    """A network on its way into a small file.

    Attributes:
        network: plain, on the CPU, in eval mode; what is removed is exactly zero.
        masks: bool by parameter name, True is kept; parameters that are whole are not named.
        sharing: which weights have one value together; None: every weight has its own.
        factors: layers that were replaced by thinner ones, in order.
    """

    network: nn.Module
    masks: Mapping[str, Tensor]
    sharing: Sharing | None = None
    factors: tuple[Factors, ...] = ()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """What goes into the file: the state_dict, each tensor under its first name."""
        return {name: tensor.contiguous() for name, tensor in weights(self.network).items()}

    @property
    def density(self) -> float:
        """Fraction of the numbers of all parameters that are not removed."""
        numbers = sum(parameter.numel() for parameter in self.network.parameters())
        removed = sum(int((~mask).sum()) for mask in self.masks.values())
        return 1 - removed / max(1, numbers)

    def copied(self) -> Compressed:
        """Returns the same with a network of its own, which may be changed in place."""
        return replace(self, network=copy.deepcopy(self.network))


@dataclass(frozen=True)
class StageContext:
    """What the stages of one compression share.

    Attributes:
        data: at the network's resolution.
        task: what it learns and is judged by.
        training: how stages train; each sets its epochs and learning rate.
        teacher: the network as it was before the first stage; None: nothing is learned from it.
        distill: share of the loss against the teacher's outputs.
        temperature: of that share; None: the task's own.
        checkpoint: a file that a training of this stage resumes from.
        show: shows the progress of a training.
        rehearsal: whether this is a trial of the stages' settings, in which nothing is trained.
    """

    data: Dataset
    task: Task
    training: TrainSettings
    teacher: nn.Module | None
    distill: float
    temperature: float | None
    checkpoint: Path
    show: Callable[[TrainingStep], None]
    rehearsal: bool = False


Stage: TypeAlias = Callable[[Compressed, StageContext], Compressed]


def zeros_as_masks(network: nn.Module) -> dict[str, Tensor]:
    """Returns masks of the weights of 2 or more dimensions that have exact zeros: what an earlier pruning removed."""
    return {
        name: parameter.detach() != 0
        for name, parameter in network.named_parameters()
        if parameter.dim() >= 2 and bool((parameter == 0).any())
    }


def partial_masks(masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the masks that remove anything, on the CPU."""
    return {name: mask.cpu() for name, mask in masks.items() if not bool(mask.all())}


def clean_(compressed: Compressed) -> Compressed:
    """Returns it ready to be judged, removed weights at +0 in place: a product with 0 may have left -0."""
    parameters = dict(compressed.network.named_parameters())
    with torch.no_grad():
        for name, mask in compressed.masks.items():
            parameters[name].masked_fill_(~mask, 0.0)
    compressed.network.to("cpu").eval()
    return compressed
