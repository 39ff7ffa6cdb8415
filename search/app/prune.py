"""`ofa prune`: a plain network, trained dense once, then made sparse or slim by a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from ofa.paths import read_json
from search.app.build import make_partial, plain, positive, run_folder
from search.app.prune_table import print_pruned
from search.paths import PrunedFolder, RunFolder
from search.progress import say, stage_progress
from search.pruning.dense import Dense, Network, dense_stage, save_config
from search.pruning.job import Job, with_rate
from search.pruning.naming import network_label, pruned_name
from search.pruning.recipe import read_recipe
from search.pruning.results import save_outcome
from search.stages import Stage, hash_of, is_needed, written

NETWORK = ("model", "data", "initializer", "dense", "seed")


def task(config: DictConfig) -> None:
    """Prunes a network of a run, training the dense one first where it is not there, and prints what came out."""
    run = run_folder(config)
    card = prune_stage(config, run)
    print_pruned([card], header=_is_first_job())


def _is_first_job() -> bool:
    """Whether this is a run by itself, or the first of a multirun, whose rows make one table."""
    if not HydraConfig.initialized():
        return True
    hydra = HydraConfig.get()
    return bool(hydra.mode != RunMode.MULTIRUN or int(hydra.job.num) == 0)


def prune_stage(config: DictConfig, run: RunFolder) -> dict[str, Any]:
    """Returns the card of the pruned network, made now unless it was there."""
    asked = plain(config, *NETWORK)
    recipe_config = plain(config, "prune")["prune"]
    recipe = read_recipe(recipe_config)
    method = make_partial("prune.method", recipe_config["method"])
    network = Network(asked)
    settings = _training(network, recipe_config["retraining"])
    decides = {**network.decides, "prune": recipe_config}
    name = pruned_name(config.name, network_label(asked), decides)
    needs_dense = recipe.start == "dense" or recipe.distill > 0 or bool(config.baseline)
    dense = dense_stage(network, run) if needs_dense else None
    inputs = {} if dense is None else {"dense network": str(dense.card["digest"])}
    stage = Stage("prune", run.pruned / name, decides, inputs, beside="name=NAME for another folder")
    files = PrunedFolder(stage.output)
    force = bool(config.force)
    if not is_needed(stage, force=force):
        say(f"prune: {files.root} is there, nothing to do")
        return dict(read_json(files.card))
    say(f"prune: {files.root}")
    with written(stage, force=force) as target:
        made = PrunedFolder(target)
        with stage_progress("prune") as update:
            job = Job(
                network=network,
                dense=None if dense is None else dense.load,
                training=settings,
                recipe=recipe,
                folder=target,
                update=update,
            )
            outcome = method(job)
        save_config(made.config, {**asked, "prune": recipe_config})
        card = save_outcome(outcome, network.data, made, _facts(name, decides, dense))
        for checkpoint in target.glob("*.safetensors"):
            if checkpoint not in (made.weights, made.masks):
                checkpoint.unlink()
    return card


def _training(network: Network, retraining: Mapping[str, Any]) -> dict[str, Any]:
    """The training of the dense network with what the recipe changes in it."""
    settings = network.training()
    settings["epochs"] = positive("prune.retraining.epochs", retraining["epochs"])
    settings["optimizer"] = with_rate(settings["optimizer"], retraining["learning_rate"])
    return settings


def _facts(name: str, config: Mapping[str, Any], dense: Dense | None) -> dict[str, Any]:
    """What the card says of where a pruned network came from."""
    return {
        "name": name,
        "network": network_label(config),
        "seed": config["seed"],
        "sparsity": config["prune"]["sparsity"],
        "config_hash": hash_of(config),
        "dense": None if dense is None else {key: dense.card[key] for key in ("digest", "accuracy", "params")},
    }
