"""`ofa train`: a supernet, once."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

import ofa
from ofa.checkpoint import save_supernet
from ofa.data import Dataset, steps_per_epoch
from ofa.errors import InvalidInput
from ofa.paths import write_atomic, write_json
from ofa.train import History, OptimizerBuilder, train
from search.accuracy import held_out_accuracy
from search.app.build import build_data, build_supernet, make_partial, plain, run_folder
from search.paths import RunFolder, SupernetFolder
from search.progress import say, stage_progress
from search.report.numbers import count_text, percent_text
from search.stages import Stage, hash_of, is_needed, written

# Keys of `train` that say how to run it and change nothing that comes out.
HOW_TO_RUN = ("checkpoint_seconds", "validate_every")


def task(config: DictConfig) -> None:
    """Trains the supernet of a run, or says that it is there."""
    run = run_folder(config)
    train_stage(config, run)


def train_stage(config: DictConfig, run: RunFolder) -> None:
    """Trains into the run's folder unless that is done; a training that was cut off goes on."""
    asked = plain(config, "model", "data", "space", "train", "seed")
    decides = copy.deepcopy(asked)
    for key in HOW_TO_RUN:
        decides["train"].pop(key, None)
    stage = Stage("train", run.supernet, decides)
    force = bool(config.force)
    if not is_needed(stage, force=force):
        say(f"train: {run.supernet} is there, nothing to do")
        return
    data = build_data(asked["data"])
    supernet = build_supernet(asked["model"], asked["space"], data, int(asked["seed"]))
    say(f"train: {_describe(supernet, data)}")
    with written(stage, force=force) as target:
        files = SupernetFolder(target)
        with stage_progress("train") as update:

            def show(row: Mapping[str, Any]) -> None:
                update(int(row["step"]), int(row["total_steps"]), _figures(row))

            history = run_training(supernet, data, asked, files.checkpoint, show)
        _save(supernet, data, history, files, decides)


def run_training(
    supernet: ofa.Supernet,
    data: Dataset,
    config: Mapping[str, Any],
    checkpoint: Path | None,
    progress: Callable[[dict[str, Any]], None] | None = None,
    *,
    stop_after: float | None = None,
) -> History:
    """Returns the history of a training as the `train` and `data` groups describe it.

    `stop_after` ends it after that fraction of its steps.
    """
    settings = dict(config["train"])
    for key in ("strategy", "optimizer", "schedule"):
        settings[key] = make_partial(f"train.{key}", settings[key])
    try_optimizer(settings["optimizer"])
    augment = config["data"].get("augment")
    return train(
        supernet,
        data,
        **settings,
        augment=make_partial("data.augment", augment) if augment else None,
        seed=int(config["seed"]),
        checkpoint=checkpoint,
        stop_step=None if stop_after is None else _steps(data, settings, stop_after),
        progress=progress,
    )


def _steps(data: Dataset, settings: Mapping[str, Any], fraction: float) -> int:
    total = steps_per_epoch(data.train, int(settings["batch_size"])) * int(settings["epochs"])
    return max(1, round(fraction * total))


def try_optimizer(build: OptimizerBuilder, name: str = "train.optimizer") -> None:
    """Builds the optimizer on a stand-in, so that a wrong setting ends here and not in the midst of the training.

    Raises:
        InvalidInput: with what the optimizer said.
    """
    try:
        build([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidInput(f"{name}: {error}") from None


def _save(
    supernet: ofa.Supernet, data: Dataset, history: History, files: SupernetFolder, config: dict[str, Any]
) -> None:
    """Writes weights, configuration, history and card, and removes the checkpoint."""
    supernet.model.to("cpu")
    save_supernet(supernet, files.weights, {"config_hash": hash_of(config)})
    write_atomic(files.config, OmegaConf.to_yaml(OmegaConf.create(config)).encode())
    write_json(files.history, history)
    ends = {"largest": supernet.space.largest, "smallest": supernet.space.smallest}
    images = data.calibration(int(config["train"].get("calibration_images", 1024)))
    found = {name: held_out_accuracy(supernet, arch, data, images) for name, arch in ends.items()}
    card: dict[str, Any] = {
        "digest": supernet.digest,
        "space_digest": supernet.space.digest,
        "config_hash": hash_of(config),
        "subnets": supernet.space.size if supernet.space.size < 2**53 else float(supernet.space.size),
        "space": supernet.space.to_dict(),
        "accuracy": found,
        "seconds": history[-1]["seconds"] if history else 0.0,
    }
    write_json(files.card, card)
    files.checkpoint.unlink(missing_ok=True)
    tested = ", ".join(f"{name} {percent_text(accuracy['test'])}" for name, accuracy in found.items())
    say(f"train: test accuracy of the {tested}")


def _describe(supernet: ofa.Supernet, data: Dataset) -> str:
    ends = ofa.cost(supernet, [supernet.space.smallest, supernet.space.largest])
    macs = " to ".join(count_text(value) for value in ends["macs"])
    return (
        f"{type(supernet.model).__name__} on {data.name} {'x'.join(map(str, data.input_shape))}: "
        f"{count_text(supernet.space.size)} subnets of {macs} MACs"
    )


def _figures(row: Mapping[str, Any]) -> str:
    text = f"loss {row['loss']:.3f}"
    for name in ("largest", "smallest"):
        if f"accuracy_{name}" in row:
            text += f", {name} {percent_text(row[f'accuracy_{name}'])}"
    return text
