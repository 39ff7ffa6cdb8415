"""The verbs that train: `ofa train`, a supernet; `ofa prune`, a plain network, dense and then by a recipe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from msgspec.structs import replace as replaced

import ofa
from ofa.checkpoint import save_supernet
from ofa.data import Dataset
from ofa.processes import processes
from ofa.records import Object, content_of, read_record, write_record
from ofa.task import Task
from ofa.train import History, TrainSettings
from search.app.launch import in_multirun, is_first_job
from search.app.tables import print_pruned
from search.config.request import plain
from search.config.training import SupernetTraining
from search.config.tuning import Retraining, TrainRequest
from search.config.verbs import PruneRequest
from search.evaluation.supernet import ENDS, supernet_card
from search.networks.folder import network_label, pruned_name
from search.objects import build_data, build_supernet, build_task, make_partial
from search.pruning.dense import Dense, Network, dense_stage, made_networks, network_of
from search.pruning.job import Job, with_rate
from search.pruning.recipe import check_recipe, read_recipe
from search.pruning.results import save_outcome
from search.pruning.retraining import check_judged
from search.run.locks import claimed, written_by_first
from search.run.paths import PrunedFolder, SupernetFolder
from search.run.progress import say, stage_progress
from search.run.pruned_cards import DenseFacts, PrunedCard, PruneFacts
from search.run.relative_paths import relative_paths
from search.run.result_files import layers_of
from search.run.scores import MetricFacts, facts_of
from search.run.stages import Stage, hash_of, is_needed
from search.run.stored_inputs import DATA, begin_with, check_same, show_data, write_stored_config
from search.run.training_cards import TrainingStep, history_of
from search.text import count_text
from search.training.baseline import check_metrics, early_warnings
from search.training.loggers import log_rows, loggers_of
from search.training.probe import probe_of, probe_warnings
from search.training.settled import settled
from search.training.sorting import ordered_blocks
from search.training.starts import Beginning, copy_of, start_inputs
from search.training.teachers import check_teacher, teacher_inputs
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
                scores = {f"{end} subnet": step.value(end, metric.name) for end in ENDS}
                shown = {end: None if value is None else metric.shown(value) for end, value in scores.items()}
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


def prune_task(request: PruneRequest) -> None:
    """Prunes a network of a run, training the dense one first if missing, and prints the result."""
    print_pruned([prune_stage(request)], header=is_first_job())


def prune_stage(request: PruneRequest) -> PrunedCard:
    """Returns the card of the pruned network, made now unless it exists."""
    run, force = request.folder, request.force
    request = replaced(request, model=settled(request.model, made_networks(run)))
    recipe = read_recipe(request.prune)
    method = make_partial("prune.method", request.prune.method)
    loggers = loggers_of(request.logger, run)
    network = network_of(request.network, run)
    with torch.random.fork_rng(devices=[]):
        net = network.build()
        check_recipe(recipe, net, network.data)
        if recipe.distill:
            check_teacher(request.teacher, net, network.data, network.task)
    check_judged(method, network.task)
    settings = _training(network, request.prune.retraining)
    opset = request.export.opset
    stored_recipe = relative_paths(plain(request.prune), run)  # it may name a profile of the run
    teacher = {"teacher": dict(request.teacher)} if request.teacher else {}
    decides = {**request.network.decides, "prune": stored_recipe, **teacher, "export": {"opset": opset}}
    name = pruned_name(request.name, network_label(decides), decides)
    needs_dense = recipe.start == "dense" or (recipe.distill > 0 and not teacher) or request.baseline
    inputs = {**network.inputs, **teacher_inputs(request.teacher, [run.pruned / name])}
    stage = Stage("prune", run.pruned / name, decides, inputs, beside="name=NAME for another folder")
    is_needed(stage, force=force)  # a mismatch is said before the dense network is trained
    dense = dense_stage(network, loggers=loggers) if needs_dense else None
    if dense is not None:
        stage = replace(stage, inputs={**inputs, "dense network": dense.card.digest})
    files = PrunedFolder(stage.output)
    with claimed(stage, force=force, waits=in_multirun()) as needed:
        if not needed:
            say(f"prune: {files.root} is there, nothing to do")
            return read_record(files.card, PrunedCard)
        say(f"prune: {files.root}")
        if dense is not None:
            check_same(network.data, dense.files.root, "delete that folder to train the dense network again")
        with written_by_first(stage, force=force) as target:
            new_files = PrunedFolder(target)
            begin_with(network.data, target, "force=true to start again")
            with stage_progress("prune") as update:
                job = Job(
                    network=network,
                    dense=None if dense is None else dense.load,
                    training=settings,
                    recipe=replace(recipe, task=network.task),
                    folder=target,
                    update=update,
                    loggers=lambda part: loggers(f"prune/{name}{part}"),
                    teacher=request.teacher,
                )
                outcome = method(job)
            if processes().is_first:
                log_rows(loggers(f"prune/{name}/levels"), map(content_of, outcome.levels))
                write_stored_config(new_files.config, {**plain(request.network), "prune": stored_recipe})
                facts, model = _facts(name, decides, dense), request.model
                save_outcome(outcome, network.data, network.task, new_files, facts, model_config=model, opset=opset)
                for checkpoint in target.glob("*.safetensors"):
                    if checkpoint not in (new_files.weights, new_files.masks, target / DATA):
                        checkpoint.unlink()
        return read_record(files.card, PrunedCard)


def _training(network: Network, retraining: Retraining) -> TrainSettings:
    """The training of the dense network with the changes of the recipe."""
    settings = network.training()
    return replace(
        settings,
        epochs=retraining.epochs,
        minutes=None,  # pruners count steps
        optimizer=with_rate(settings.optimizer, retraining.learning_rate),
        patience=None,  # of the dense training alone: the last weights are those that are pruned
    )


def _facts(name: str, config: Object, dense: Dense | None) -> PruneFacts:
    """The facts of the card about the origin of a pruned network."""
    card = None if dense is None else dense.card
    return PruneFacts(
        name=name,
        network=network_label(config),
        seed=config["seed"],
        sparsity=config["prune"]["sparsity"],
        config_hash=hash_of(config),
        dense=None if card is None else DenseFacts(digest=card.digest, scores=card.scores, params=card.params),
    )
