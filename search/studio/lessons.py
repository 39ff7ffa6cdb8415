"""Class pages that train, on digits, while one watches: tickets, regularizers, stages of Deep Compression."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct
from omegaconf import OmegaConf
from torch import Tensor, nn

from ofa.compress import coded_sizes
from ofa.prune import Pruner
from ofa.prune.context import Batches
from ofa.prune.lottery import CONTROLS, lottery
from ofa.task import Score, Task, classification, scores
from ofa.train import Event, TrainSettings, train_network
from ofa.train.loop import Callback
from ofa.train.schedules import cosine
from ofa.train.state import TrainState
from search import compression as stages
from search.compression.compressed import Compressed, StageContext
from search.config.compressing import Bits
from search.config.read import converted
from search.config.rules import Seed
from search.objects import make
from search.run.paths import conf_dir
from search.run.scores import facts_of
from search.studio.comparisons import data, drawn, perceptron
from search.studio.drawing import histogram, image_of
from search.studio.pacing import Tell
from search.studio.parts import option_texts
from search.studio.shaping import training_alone

HIDDEN = (64, 32)  # units of the perceptron
WATCHED = "hidden.0.weight"  # the layer that is drawn
DENSITIES = (1.0, 0.5, 0.25, 0.12, 0.06, 0.03)
# Regularizers of conf/prune/regularizer, each with a strength that shows on this network within some epochs.
REGULARIZERS = {
    "none": 0.0,
    "l1": 3e-3,
    "l2": 1e-2,
    "proximal_l1": 2e-2,
    "group_lasso": 3e-2,
    "sparse_group_lasso": 3e-2,
    "integers": 5e-4,
}
INTEGER_BITS = 3  # few enough that the grid shows

Epochs = Annotated[int, Meta(ge=1, le=100)]


def _task() -> Task:
    return classification(data())


def _settings(epochs: int, seed: int, rate: float = 0.1) -> TrainSettings:
    optimizer = partial(torch.optim.SGD, lr=rate, momentum=0.9, nesterov=True)
    return TrainSettings(
        optimizer=optimizer, schedule=cosine, epochs=epochs, batch_size=64, seed=seed, validate_every=0
    )


def _judged(net: nn.Module) -> dict[str, Any]:
    """The score of a network on the validation split, as JSON has it."""
    task = _task()
    score: Score = scores(net, data().validation.in_order(), task)[task.objective.name]
    text = facts_of(task.objective).text(score)
    return {"score": score.value, "error": score.standard_error, "text": text}


def _watching(tell: Tell) -> Callback:
    """A callback that ends a training which nobody waits for."""

    def watch(event: Event, state: TrainState) -> None:
        if event is Event.UPDATE:
            tell({})

    return watch


class Tickets(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page of lottery tickets asks for."""

    epochs: Epochs = 10
    seed: Seed = 0


def tickets(body: Mapping[str, Any], tell: Tell) -> None:
    """Tells the score of each ticket, its mask on new weights and a random mask on its own, level by level.

    Source: Frankle and Carbin 2019, 1803.03635.
    """
    request = converted(body, Tickets, "tickets")
    kinds: Iterator[tuple[float, str]] = chain.from_iterable(
        ((density, kind) for kind in ("ticket", *(CONTROLS if density < 1 else ()))) for density in DENSITIES
    )
    tell({"levels": list(DENSITIES)})

    def train(model: nn.Module, masks: Mapping[str, Tensor], seed: int) -> dict[str, Any]:
        def hold(net: nn.Module, optimizer: torch.optim.Optimizer, total_steps: int, batches: Batches) -> Pruner:
            pruner = Pruner(net, optimizer)
            pruner.set_masks(masks)
            return pruner

        training = train_network(
            model, data(), _settings(request.epochs, seed), prune=hold, callbacks=[_watching(tell)]
        )
        assert training.pruner is not None  # `hold` makes one
        training.pruner.finalize()
        density, kind = next(kinds)
        judged = _judged(model)
        image = image_of(masks[WATCHED].float(), signed=False)
        tell({"ticket": {"density": density, "kind": kind, "image": image, **judged}})
        return {"score": judged["score"]}

    with training_alone(tell), TemporaryDirectory(prefix="ofa-studio-") as folder:
        lottery(partial(drawn, HIDDEN), train, folder=folder, densities=DENSITIES, seed=request.seed)


class Regularizing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page of regularizers asks for; `strength` multiplies those of `REGULARIZERS`."""

    epochs: Epochs = 15
    strength: Annotated[float, Meta(ge=0, le=1000)] = 1.0
    seed: Seed = 0


def regularizers(body: Mapping[str, Any], tell: Tell) -> None:
    """Tells, epoch by epoch and for each regularizer, how the weights of the first layer lie, and how many are zero."""
    request = converted(body, Regularizing, "regularizers")
    texts = option_texts("prune/regularizer")
    for name, strength in REGULARIZERS.items():
        net = perceptron(HIDDEN, request.seed)
        weight = dict(net.named_parameters())[WATCHED]

        def show(epoch: int, name: str = name, net: nn.Module = net, weight: Tensor = weight) -> None:
            values = weight.detach()
            most = max(0.5, float(values.abs().max()))
            tell(
                {
                    "epoch": {
                        "name": name,
                        "words": texts[name],
                        "epoch": epoch,
                        "range": most,
                        "histogram": histogram(values, most),
                        "zeros": float((values == 0).double().mean()),
                        "rows": float((values == 0).all(dim=1).double().mean()),
                        "image": image_of(values, signed=True),
                        **_judged(net),
                    }
                }
            )

        def each_epoch(event: Event, state: TrainState) -> None:
            if event is Event.UPDATE:
                tell({})
            elif event is Event.EPOCH:
                show(state.epoch)

        show(0)
        with training_alone(tell):
            train_network(
                net,
                data(),
                _settings(request.epochs, request.seed, 0.05),
                prune=partial(_regularized, name=name, strength=strength * request.strength),
                callbacks=[each_epoch],
            )


def _regularized(
    net: nn.Module,
    optimizer: torch.optim.Optimizer,
    total_steps: int,
    batches: Batches,
    *,
    name: str,
    strength: float,
) -> Pruner:
    """A pruner that removes nothing: its regularizer alone is at work."""
    if not strength:
        return Pruner(net, optimizer)
    config: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "prune" / "regularizer" / f"{name}.yaml"))
    options = {**config[name], "strength": strength}
    if "bits" in options:
        options["bits"] = INTEGER_BITS
    return Pruner(net, optimizer, regularizers=(make(options),))


class Stages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page of Deep Compression asks for."""

    sparsity: Annotated[float, Meta(gt=0, lt=1)] = 0.85
    bits: Bits = 4
    epochs: Epochs = 10
    seed: Seed = 0


def compression(body: Mapping[str, Any], tell: Tell) -> None:
    """Tells the bytes and the score after each stage: trained, pruned, trained on, shared, reordered, coded.

    Source: Han et al. 2016, 1510.00149. Bytes are those of a file coded as theirs (relative positions, Huffman's code)
    and of an .ofaz.
    """
    request = converted(body, Stages, "compression")
    task, net = _task(), perceptron(HIDDEN, request.seed)
    settings = _settings(request.epochs, request.seed)
    with training_alone(tell), TemporaryDirectory(prefix="ofa-studio-") as folder:
        train_network(net, data(), settings, callbacks=[_watching(tell)])
        context = StageContext(
            data=data(),
            task=task,
            training=_settings(request.epochs, request.seed, 0.02),
            teacher=None,
            distill=0.0,
            temperature=None,
            checkpoint=Path(folder) / "checkpoint.safetensors",
            show=lambda step: tell({}),
        )
        done = Compressed(copy.deepcopy(net).eval(), {})
        steps: dict[str, Any] = {
            "trained": lambda each, _: each,
            "pruned": partial(stages.prune, sparsity=request.sparsity),
            "trained on": partial(stages.finetune, epochs=request.epochs),
            "weights shared": partial(stages.share, bits=request.bits),
            "shared values trained": partial(stages.finetune, epochs=max(1, request.epochs // 4), learning_rate=0.1),
            "units reordered": stages.reorder,
        }
        for name, stage in steps.items():
            tell({"text": name})
            done = stage(done, context)
            context.checkpoint.unlink(missing_ok=True)
            sizes = {"huffman": coded_sizes(done.tensors, coding="huffman").total}
            sizes["ofaz"] = coded_sizes(done.tensors).total
            dense = sum(tensor.numel() * tensor.element_size() for tensor in done.tensors.values())
            tell({"stage": {"name": name, "dense": dense, **sizes, "density": done.density, **_judged(done.network)}})
