"""`ofa train`: a supernet by its recipe, or as its start has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace as replaced

import ofa
from ofa.checkpoint import save_supernet
from ofa.data import Dataset
from ofa.processes import processes
from ofa.records import write_record
from ofa.task import Task
from ofa.train import History
from search.app.launch import in_multirun
from search.config.request import plain
from search.config.training import SupernetTraining
from search.config.tuning import TrainRequest
from search.evaluation.supernet import ENDS, supernet_card
from search.objects import build_data, build_supernet, build_task
from search.run.locks import claimed, written_by_first
from search.run.paths import SupernetFolder
from search.run.progress import say, stage_progress
from search.run.result_files import layers_of
from search.run.scores import MetricFacts, facts_of
from search.run.stages import Stage, hash_of
from search.run.stored_inputs import begin_with, show_data, write_stored_config
from search.run.training_cards import TrainingStep, history_of
from search.text import count_text
from search.training.baseline import check_metrics, early_warnings
from search.training.loggers import loggers_of
from search.training.probe import probe_of, probe_warnings
from search.training.settings import check_computing
from search.training.sorting import ordered_blocks
from search.training.starts import Beginning, copy_of, settled, start_inputs
from search.training.teachers import teacher_inputs
from search.training.trained import run_training, say_end, say_warnings


def train_task(request: TrainRequest) -> None:
    """Trains the supernet of a run, unless it exists."""
    train_stage(request)


def train_stage(request: TrainRequest, check: Callable[[Task], None] = lambda task: None) -> bool:
    """Returns whether it trained: False if the supernet exists. An interrupted training resumes.

    `check` is called with the task before a training begins.
    """
    output = request.folder.supernet
    request = replaced(request, model=settled(request.model, [output]))
    inputs = start_inputs(request.start, [output]) | teacher_inputs(request.teacher, [output])
    stage = Stage("train", output, request.recipe.decides, inputs)
    with claimed(stage, force=request.force, waits=in_multirun()) as needed:
        if needed:
            _train(stage, request, check)
        else:
            say(f"train: {stage.output} is there, nothing to do")
    return needed


def _train(stage: Stage, request: TrainRequest, check: Callable[[Task], None]) -> None:
    """Trains the requested supernet and writes it."""
    check_computing("train", "train", request.train)
    loggers = loggers_of(request.logger, request.folder)
    config = plain(request.data)
    data = build_data(config)
    show_data(data, config)
    task = build_task(request.task, data)
    check(task)
    beginning = Beginning(request.start, copy_of(stage, request.start, force=request.force))
    supernet = build_supernet(request.model, request.space, data, request.seed, task=task, fill=beginning)
    supernet, space = ordered_blocks(supernet, data, task, request.recipe)
    check_metrics(supernet.subnet(supernet.space.smallest), data, task)
    metric = facts_of(task.objective)
    say(f"train: {_describe(supernet, data)}")
    if beginning.record is not None:
        say(f"train: starts from {beginning.record}")
    with written_by_first(stage, force=request.force) as target:
        files = SupernetFolder(target)
        begin_with(data, target, "force=true to start again")
        beginning.keep(supernet.model, files.start)
        with stage_progress("train") as update:

            def show(step: TrainingStep) -> None:
                scores = {f"{metric.axis('validation')}: {end} subnet": step.value(end, metric.name) for end in ENDS}
                shown = {name: None if value is None else metric.shown(value) for name, value in scores.items()}
                point = {"step": step.step, "training loss": step.loss, **shown}
                update(step.step, step.total_steps, _figures(step, metric), point)
                say_warnings("train", early_warnings(step, ENDS, task, data))

            history = run_training(supernet, data, request.recipe, files.checkpoint, show, loggers=loggers("train"))
        if processes().is_first:
            _save(supernet, data, task, history, files, {**stage.config, "space": space}, request.recipe.train)


def _save(
    supernet: ofa.Supernet,
    data: Dataset,
    task: Task,
    history: History,
    files: SupernetFolder,
    config: dict[str, Any],
    training: SupernetTraining,
) -> None:
    """Writes weights, configuration, history and card, and removes the checkpoint."""
    supernet.model.to("cpu")
    save_supernet(supernet, files.weights, {"config_hash": hash_of(config)})
    write_stored_config(files.config, config)
    write_record(files.history, history_of(history))
    say_end("train", history)
    seconds = history[-1]["seconds"] if history else 0.0
    card = supernet_card(supernet, data, task, training.calibration_images, hash_of(config), seconds)
    probe = probe_of(history)
    behind = probe_warnings(probe, card.metrics[0], training)
    card = replaced(card, probe=probe, warnings=(*card.warnings, *behind))
    say_warnings("train", card.warnings)
    if card.calibration is not None:
        say(f"train: {card.calibration.text}")
    write_record(files.card, card)
    write_record(files.layers, layers_of(ofa.inspect(supernet), type(supernet.model).__name__))
    files.checkpoint.unlink(missing_ok=True)
    metric = card.metrics[0]
    if probe is not None:
        say(f"train: the largest subnet against the same network alone: {probe.text(metric)}")
    largest, smallest = (end.test[metric.name] for end in (card.scores.largest, card.scores.smallest))
    constant = "" if card.baseline is None else f", of a constant answer {metric.text(card.baseline.test[metric.name])}"
    ends = f"largest {metric.text(largest)}, smallest {metric.text(smallest)}{constant}"
    say(f"train: {metric.heading()} on {largest.examples:,} test examples: {ends}")


def _describe(supernet: ofa.Supernet, data: Dataset) -> str:
    ends = ofa.cost(supernet, [supernet.space.smallest, supernet.space.largest])
    macs = " to ".join(count_text(value) for value in ends["macs"])
    return (
        f"{type(supernet.model).__name__} on {data.name} {'x'.join(map(str, data.input_shape))}: "
        f"{count_text(supernet.space.size)} subnets of {macs} MACs"
    )


def _figures(step: TrainingStep, metric: MetricFacts) -> str:
    text = f"loss {step.loss:.3f}"
    for name in ("largest", "smallest"):
        if (value := step.value(name, metric.name)) is not None:
            text += f", {name} {metric.text(value)}"
    return text
