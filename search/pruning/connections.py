"""Methods that learn which single connections stay: gates trained beside the weights, or a policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import msgspec
import torch
from msgspec import structs
from torch import Tensor, nn

from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint, weights
from ofa.errors import InvalidInput
from ofa.prune import Pruner
from ofa.prune.criteria import snip
from ofa.prune.learned import LearnedConnections, learn_connection_policy, learn_connections
from ofa.prune.learned.gates import Gates
from ofa.records import convert
from ofa.task import Batch
from ofa.train.optimizers import build_optimizer
from ofa.train.teacher_batches import TeacherBatches, on_device, scoring_batches
from search.pruning.job import Job, Outcome, judge_of
from search.pruning.retraining import LEARNED, check_no_schedule, train_pruned

_MASKS, _WEIGHTS = "masks/", "weights/"  # the names in the file of what was learned begin with these


class _LearnedConnections(msgspec.Struct):
    """The metadata stored with what was learned."""

    history: list[dict[str, Any]]


def learn_gates(job: Job, *, gates: Gates, epochs: int = 10, gate_rate: float = 0.02) -> Outcome:
    """Returns the network after a training of weights and gates, and one under the masks that the gates gave.

    `epochs` are those of the first training, whose learning rate is the optimizer's own throughout; see
    `ofa.prune.learned.learn_connections`.
    """
    net, density = _start(job, "prune.method.gates")
    device = torch.device(job.training.device)
    settings = job.training
    feed = TeacherBatches(
        on_device(job.data.train, device), settings.batch_size, job.seed, device, job.network.task, settings.augment
    )

    def learn() -> LearnedConnections:
        return learn_connections(
            net.to(device),
            _endless(feed),
            gates,
            density,
            task=job.network.task,
            optimizer=build_optimizer(settings.optimizer, net),
            steps=epochs * feed.steps_per_epoch,
            keep=job.recipe.keep,
            gate_rate=gate_rate,
            seed=job.seed,
            progress=lambda row: job.update(row["step"], row["steps"], f"gates: density {row['density']:.4f}"),
        )

    return _trained(job, net, learn)


def learn_policy(
    job: Job, *, updates: int = 30, samples: int = 8, images: int = 1000, learning_rate: float = 0.1
) -> Outcome:
    """Returns the network after a training with the connections that a policy found; see `learn_connection_policy`.

    Networks are judged on the first validation examples, and connections of a layer fall into buckets by size and by
    |weight * gradient|, measured as the criterion `snip` does.
    """
    net, density = _start(job, "prune=connection_policy")

    def learn() -> LearnedConnections:
        batches = scoring_batches(job.data.train, job.training.batch_size, job.recipe.scoring, job.seed)
        context = Pruner(net, batches=batches, task=job.recipe.task, keep=job.recipe.keep).context()
        return learn_connection_policy(
            net,
            judge_of(job, images),
            density,
            saliency=snip(context),
            keep=job.recipe.keep,
            updates=updates,
            samples=samples,
            learning_rate=learning_rate,
            seed=job.seed,
            progress=lambda row: job.update(row["update"] + 1, updates, f"best {row['best']:.3f}"),
        )

    return _trained(job, net, learn)


def _start(job: Job, method: str) -> tuple[nn.Module, float]:
    check_no_schedule(job.recipe, method)
    if job.recipe.sparsity is None:
        raise InvalidInput(f"prune.sparsity, the fraction removed, must be set for {method}")
    return job.start(), 1 - job.recipe.sparsity


def _trained(job: Job, net: nn.Module, learn: Callable[[], LearnedConnections]) -> Outcome:
    """Learns connections (or reads those of an interrupted run, with the weights), then trains under them."""
    path = job.folder / LEARNED
    if path.exists():
        tensors, meta = load_checkpoint(path)
        parts = {kind: _part(tensors, kind) for kind in (_MASKS, _WEIGHTS)}
        load_weights(net, parts[_WEIGHTS], str(path))
        masks = {name: mask.bool() for name, mask in parts[_MASKS].items()}
        history = convert(meta, _LearnedConnections, f"{path} is damaged").history
    else:
        learned = learn()
        net.to("cpu")
        masks, history = dict(learned.masks), [dict(row) for row in learned.history]
        tensors = {_MASKS + name: mask.cpu() for name, mask in masks.items()}
        save_checkpoint(
            path, tensors | {_WEIGHTS + name: each for name, each in weights(net).items()}, {"history": history}
        )
    outcome = train_pruned(job, net, masks=masks)
    return replace(outcome, facts=structs.replace(outcome.facts, search=tuple(history)), warnings=())


def _part(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    return {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}


def _endless(feed: TeacherBatches) -> Iterator[Batch]:
    for epoch in count():
        yield from feed.epoch(epoch)
