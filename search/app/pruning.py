"""`ofa prune`: a plain network, trained dense and then pruned by a recipe."""

from __future__ import annotations

from dataclasses import replace

import torch
from msgspec.structs import replace as replaced

from ofa.processes import processes
from ofa.records import Object, content_of, read_record
from ofa.train import TrainSettings
from search.app.launch import in_multirun, is_first_job
from search.app.tables import print_pruned
from search.config.request import plain
from search.config.tuning import Retraining
from search.config.verbs import PruneRequest
from search.networks.folder import network_label, pruned_name
from search.objects import make_partial
from search.pruning.dense import Dense, Network, dense_stage, made_networks, network_of
from search.pruning.job import Job, with_rate
from search.pruning.recipe import check_recipe, read_recipe
from search.pruning.results import save_outcome
from search.pruning.retraining import check_judged
from search.run.contents import relative_paths
from search.run.locks import claimed, written_by_first
from search.run.paths import PrunedFolder
from search.run.progress import say, stage_progress
from search.run.pruned_cards import DenseFacts, PrunedCard, PruneFacts
from search.run.stages import Stage, hash_of, is_complete, is_needed
from search.run.stored_inputs import DATA, begin_with, check_same, write_stored_config
from search.training.baseline import check_metrics
from search.training.loggers import log_rows, loggers_of
from search.training.starts import settled
from search.training.teachers import check_distillation, check_teacher, teacher_inputs


def prune_task(request: PruneRequest) -> None:
    """Prunes a network of a run, training the dense one first if missing, and prints the result."""
    print_pruned([prune_stage(request)], request.folder, header=is_first_job())


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
        check_teacher(request.teacher, net, network.data, network.task)
    check_judged(method, network.task)
    check_distillation(network.task, recipe.distill, "prune.retraining.distill")
    settings = _training(network, request.prune.retraining)
    stored_recipe = relative_paths(plain(request.prune), run)  # it may name a profile of the run
    teacher = {"teacher": dict(request.teacher)} if request.teacher else {}
    decides = {**request.network.decides, "prune": stored_recipe, **teacher, "export": {"opset": request.export.opset}}
    name = pruned_name(request.name, network_label(decides), decides)
    needs_dense = recipe.start == "dense" or (recipe.distill > 0 and not teacher) or request.baseline
    inputs = {**network.inputs, **teacher_inputs(request.teacher, [run.pruned / name])}
    stage = Stage("prune", run.pruned / name, decides, inputs, beside="name=NAME for another folder")
    is_new = is_needed(stage, force=force)  # a mismatch is said before the dense network is trained
    if is_new and (not needs_dense or is_complete(network.folder)):  # a dense training does so itself
        check_metrics(net, network.data, network.task)
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
            if processes().is_first:
                network.keep_start()
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
                save_outcome(
                    outcome,
                    network.data,
                    network.task,
                    new_files,
                    facts,
                    dense=None if dense is None else dense.load(),
                    model_config=model,
                    opset=request.export.opset,
                )
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
