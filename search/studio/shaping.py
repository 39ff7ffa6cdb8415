"""The network of a setting: shaped, pruned, fine-tuned and shared, the same each time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

import ofa
from ofa.arch import Arch
from ofa.collapse import thin_layers
from ofa.compress import Sharing, share
from ofa.data import Dataset
from ofa.prune import Pruner, resolved
from ofa.prune.context import Batches
from ofa.prune.granularity.positions import WeightUse, find_use
from ofa.train import Event, progress_rows, train_network
from ofa.train.state import TrainState
from ofa.train.teacher_batches import scoring_batches
from search.config.compressing import StudioSetting
from search.config.request import plain
from search.run.stages import hash_of
from search.studio.opened import Opened
from search.studio.pacing import Tell, measure_norms, telling
from search.studio.parts import pruner_of, schedule_of
from search.studio.teaching import check_teacher, distillation_of

MOST_KEPT = 8  # networks of one kind that are remembered
SCORING = 10  # batches of training examples that criteria measure on

T = TypeVar("T")

_TRAINING = Lock()


@contextmanager
def training_alone(tell: Tell) -> Iterator[None]:
    """Waits until no other training of this process runs: they draw from torch's one generator, and would mix."""
    while not _TRAINING.acquire(timeout=0.2):
        tell({"text": "waits for another training"})
    try:
        yield
    finally:
        _TRAINING.release()


@dataclass(frozen=True, eq=False)
class Shaped:
    """The network of a setting.

    Attributes:
        setting: canonical.
        network: plain, on the CPU, in eval mode.
        before: its weights as they were before anything was removed, by name.
        masks: bool by parameter name, True is kept.
        sharing: which weights have one value together; None: each has its own.
        data: at its resolution.
        use: how often each weight is used for one example.
        history: loss and score of each epoch of its fine-tuning.
    """

    setting: StudioSetting
    arch: Arch
    network: nn.Module
    before: Mapping[str, Tensor]
    masks: Mapping[str, Tensor]
    sharing: Sharing | None
    data: Dataset
    use: WeightUse
    history: tuple[Mapping[str, Any], ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Lines about layers of which little is left."""
        return tuple(thin_layers({name: mask for name, mask in self.masks.items() if mask.dim() > 1}))


class Recent(Generic[T]):
    """The last few of what takes a while to make, by a key."""

    def __init__(self) -> None:
        self._made: dict[str, T] = {}
        self._lock = Lock()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Returns what is remembered under a key, or makes it now."""
        with self._lock:
            known = self._made.pop(key, None)
        made = make() if known is None else known
        with self._lock:
            self._made[key] = made
            while len(self._made) > MOST_KEPT:
                del self._made[next(iter(self._made))]
        return made


class Workbench:
    """Makes the networks of settings; what was fine-tuned is kept, so that undo and redo train nothing again."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self._tuned = Recent[tuple[nn.Module, dict[str, Tensor], tuple[Mapping[str, Any], ...]]]()
        self._begun = Recent[tuple[nn.Module, WeightUse]]()

    def shape(self, setting: StudioSetting, tell: Tell) -> Shaped:
        """Returns the network of a setting.

        Raises:
            InvalidInput: a setting that does not fit the network, or parts of pruning that do not fit each other.
        """
        opened, setting = self.opened, self.opened.canonical(setting)
        check_teacher(setting, opened)
        arch = opened.arch_of(setting)
        data = opened.data if opened.supernet is None else ofa.resized(opened.data, arch)
        whole, use = self._begun.get(arch.digest, lambda: _begin(opened, arch, data, tell))
        network = copy.deepcopy(whole)
        before = {name: tensor.detach().clone() for name, tensor in network.named_parameters()}
        masks, history = dict(opened.masks), ()
        if setting.epochs:
            network, masks, history = self._tune(setting, network, data, tell)
        elif setting.prunes:
            masks = pruned(network, setting, data, opened, tell)
        sharing = shared(network, setting)
        if setting.changes:  # zeros and shared values change what norms see
            network = measure_norms(network, _images(opened, arch), use, tell)
        return Shaped(setting, arch, network.eval(), before, masks, sharing, data, use, history)

    def _tune(
        self, setting: StudioSetting, network: nn.Module, data: Dataset, tell: Tell
    ) -> tuple[nn.Module, dict[str, Tensor], Any]:
        """A copy of the fine-tuned network of a setting, its masks and its history."""
        unshared = {key: value for key, value in plain(setting).items() if key not in ("bits", "layer_bits")}
        made = self._tuned.get(hash_of(unshared), lambda: (network, *tuned(network, setting, data, self.opened, tell)))
        return copy.deepcopy(made[0]), dict(made[1]), made[2]


def _images(opened: Opened, arch: Arch) -> Any:
    return opened.calibration if opened.supernet is None else ofa.resized(opened.calibration, arch)


def _begin(opened: Opened, arch: Arch, data: Dataset, tell: Tell) -> tuple[nn.Module, WeightUse]:
    """The network before anything is removed, and how often each of its weights is used."""
    network = opened.full if opened.supernet is None else opened.supernet.extract(arch)
    use = find_use(network, data.example())
    if opened.supernet is not None:
        measure_norms(network, _images(opened, arch), use, tell)
    return network, use


def pruned(network: nn.Module, setting: StudioSetting, data: Dataset, opened: Opened, tell: Tell) -> dict[str, Tensor]:
    """Returns the masks of a network, bool by parameter name, after removing what a setting says, in place."""
    batches = scoring_batches(data.train, opened.training.batch_size, SCORING, 0)
    pruner = pruner_of(network, setting, opened, data=data, batches=telling(batches, SCORING, tell))
    pruner.prune(setting.sparsity)
    return _finished(pruner)


def tuned(
    network: nn.Module, setting: StudioSetting, data: Dataset, opened: Opened, tell: Tell
) -> tuple[dict[str, Tensor], tuple[Mapping[str, Any], ...]]:
    """Returns the masks and the history of a network, after training it in place as a setting says."""
    settings = replace(
        opened.training, epochs=setting.epochs, minutes=None, patience=None, validate_every=1, scoring=SCORING
    )

    def make_pruner(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, batches: Batches) -> Pruner:
        schedule = schedule_of(setting.schedule, setting.sparsity or max(setting.layers.values()))
        timed = resolved(schedule, total_steps, total_steps // setting.epochs)
        return pruner_of(model, setting, opened, optimizer, data=data, schedule=timed, batches=batches)

    def hold(model: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, batches: Batches) -> Pruner:
        return pruner_of(model, setting, opened, optimizer, data=data)

    def watch(event: Event, state: TrainState) -> None:
        if event is Event.UPDATE:
            tell({})

    rows = progress_rows(lambda row: tell({"progress": row["step"] / row["total_steps"], "text": _row_text(row)}))
    make_one = make_pruner if setting.prunes else hold if opened.masks else None
    with training_alone(tell):
        training = train_network(
            network,
            data,
            settings,
            task=opened.task,
            prune=make_one,
            distillation=distillation_of(setting, network, data, opened),
            callbacks=[watch, rows],
        )
    network.to("cpu").eval()
    name = opened.task.objective.name
    history = tuple(
        {"epoch": row["epoch"], "loss": row["loss"], "score": row.get("scores", {}).get("network", {}).get(name)}
        for row in training.history
    )
    return {} if training.pruner is None else _finished(training.pruner), history


def shared(network: nn.Module, setting: StudioSetting) -> Sharing | None:
    """Returns which weights have one value together, after giving it to them in place; None where no bits are set."""
    wanted = ({} if setting.bits is None else {"*": setting.bits}) | dict(setting.layer_bits)
    if not wanted:
        return None
    sharing = share(network, wanted)
    sharing.put(network)
    return sharing


def _finished(pruner: Pruner) -> dict[str, Tensor]:
    """The masks of a pruner that remove anything; its network is plain again."""
    masks = {name: mask.to("cpu", copy=True) for name, mask in pruner.masks.items()}
    pruner.finalize()
    return {name: mask for name, mask in masks.items() if not bool(mask.all())}


def _row_text(row: Mapping[str, Any]) -> str:
    loss = "" if row.get("loss") is None else f", loss {row['loss']:.3f}"
    return f"step {row['step']} of {row['total_steps']}{loss}"
