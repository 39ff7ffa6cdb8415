"""The product's own readers, each as a function from a file to what the product takes from it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from optuna.study import get_all_study_names

import ofa.compress
from benchmarks.mutated.honest_copy import Honest
from ofa.checkpoint import load_checkpoint, load_supernet
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.prune.lottery_folder import LotteryFolder
from ofa.records import Record, content_of, convert, read_record
from ofa.task import classification
from ofa.train import TrainSettings
from ofa.train.optimizers import optimizer_state
from ofa.train.saved_state import load_training, read_training
from ofa.train.state import new_state
from search.candidates.trials import trial_rows
from search.device import read_profile
from search.device.remote.exchange import known_manifest
from search.device.remote.result import machine_in, measurement_in, read_result, runtime_in
from search.device.standalone import script
from search.device.standalone.files import RoundJournal, row_of
from search.device.standalone.manifest import read_manifest
from search.evaluation.caches import ScoreCache, TunedCache
from search.networks import rebuild
from search.report.gather import gather
from search.run.cards import TunedCard
from search.run.file_lock import is_free, owner_text
from search.run.paths import PrunedFolder, RunFolder
from search.run.pruned_cards import LevelRow
from search.run.stages import is_complete, stamped_config
from search.run.stored_inputs import check_same
from search.study.journal import open_journal
from search.study.study import load_study
from search.study.warm_start import best_candidates
from search.subnets.extract import load_refined
from search.training.trained import load_trained

Reader = Callable[[Honest, Path], Any]


def record(kind: type[Record]) -> Reader:
    """Returns the reader of a kind of JSON."""
    return lambda honest, path: content_of(read_record(path, kind))


def trained(honest: Honest, path: Path) -> Any:
    """Reads a trained supernet with everything that it is made of."""
    loaded = load_trained(RunFolder(path.parent.parent), show=False)
    return loaded.digest, loaded.config, loaded.card, loaded.supernet.digest


def supernet_weights(honest: Honest, path: Path) -> Any:
    """Reads the weights of a supernet into one that is there."""
    supernet, before = honest.trained.supernet, honest.weights
    try:
        return load_supernet(supernet, path), digest_of(supernet.model)
    finally:
        supernet.model.load_state_dict(before)


def checkpoint(honest: Honest, path: Path) -> Any:
    """Reads tensors and what belongs to them."""
    return load_checkpoint(path)


def coded(honest: Honest, path: Path) -> Any:
    """Reads coded tensors and their card."""
    return ofa.compress.load(path)


def compressed(honest: Honest, path: Path) -> Any:
    """Builds the network of a file anew from what its card says."""
    return rebuild.load(path).state_dict()


def training(honest: Honest, path: Path) -> Any:
    """Reads a checkpoint as the same training does that goes on from it."""
    if path not in honest.settings:
        honest.settings[path] = load_checkpoint(path)[1]["settings"]
    model = copy.deepcopy(honest.trained.supernet.model)
    settings = TrainSettings(optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9), epochs=1, batch_size=1)
    state = new_state(
        model,
        settings,
        1,
        lambda: model,
        task=classification(honest.trained.data),
        held_gradients=True,
        average_buffers=False,
    )
    load_training(read_training(path, honest.settings[path]), state, {})
    return vars(state.progress), model.state_dict(), optimizer_state(model, state.optimizer)


def data_record(honest: Honest, path: Path) -> Any:
    """Holds the record of the data against the data."""
    check_same(honest.trained.data, path.parent, "force=true to start again")


def stamp(honest: Honest, path: Path) -> Any:
    """Reads what a stage says of its output."""
    whole = path.name == "stage.json"
    output = path.parent if whole else path.with_name(path.name.replace(".stage.json", ".json"))
    return is_complete(output), stamped_config(output)


def profile(honest: Honest, path: Path) -> Any:
    """Reads a profile, for the supernet."""
    return content_of(read_profile(path, honest.trained.supernet).record)


def manifest(honest: Honest, path: Path) -> Any:
    """Reads what a run keeps of a bundle."""
    return known_manifest(honest.run("tiny"), honest.trained, "pi5", path.stem, path)


def measurement(honest: Honest, path: Path) -> Any:
    """Reads what came back from another machine."""
    result = read_result(path)
    bundle = known_manifest(honest.run("tiny"), honest.trained, "pi5", result.bundle, path)
    source = str(path)
    return (
        measurement_in(result, bundle, source),
        machine_in(result, "pi5"),
        runtime_in(result, bundle, source),
    )


def on_the_device(honest: Honest, path: Path) -> Any:
    """Reads a bundle as its own script does, without measuring."""
    try:
        content = read_manifest(honest.root / "device")
        for network in content["networks"]:
            for file in (network["files"] or {}).values():
                script.read_network(honest.root / "device" / file["name"], file["sha256"])
    except ValueError as error:  # as `script.main` does
        raise InvalidInput(str(error)) from None
    return content


def rounds(honest: Honest, path: Path) -> Any:
    """Reads the rounds of a measurement that was cut off."""
    lines = honest.content(path).splitlines()
    digest, networks = script_line(lines[0])["digest"], len(script_line(lines[1])["times"])
    return [row_of(each) for each in RoundJournal(path, digest).begin(networks)]


def script_line(line: bytes) -> Any:
    """Returns what a line of JSON says."""
    return json.loads(line)


def journal(honest: Honest, path: Path) -> Any:
    """Reads every trial of every study of a journal, whose head lies beside it."""
    file = path.with_suffix(".log")
    names = get_all_study_names(open_journal(file))
    return {name: [content_of(row) for row in trial_rows(load_study(file, name))] for name in names}


def accuracies(honest: Honest, path: Path) -> Any:
    """Reads a cache of accuracies."""
    cache = ScoreCache(path)
    len(cache)
    return list(cache._known.items())


def tuned_cache(honest: Honest, path: Path) -> Any:
    """Reads a cache of fine-tunings."""
    cache = TunedCache(path)
    cache.get("all of them are read")
    return list(cache._known.items())


def candidates(honest: Honest, path: Path) -> Any:
    """Reads the best candidates of a search, for another to begin with."""
    return [each.key for each in best_candidates(path, 20)]


def tuned(honest: Honest, path: Path) -> Any:
    """Reads a fine-tuned candidate."""
    folder = PrunedFolder(path.parent)
    arch = read_record(folder.card, TunedCard).arch
    net, masks = load_refined(arch, honest.trained, folder)
    return net.state_dict(), masks


def lottery(honest: Honest, path: Path) -> Any:
    """Reads the levels of a lottery."""
    folder, level = LotteryFolder(path.parent), int(path.name[6:8]) if path.name.startswith("level_") else 0
    if path.name.endswith(".json"):
        density = read_density(honest, path)
        row = folder.row(level, "ticket", density)
        convert(row, LevelRow, str(path))  # what a training returns is free, and the network's card holds it to this
        return row
    return folder.start() if level == 0 and path.name.startswith("start") else load_checkpoint(path)


def read_density(honest: Honest, path: Path) -> float:
    """Returns the density that a row was asked for, as it was."""
    content = script_line(honest.content(path))
    return float(content.get("row", content)["asked"])


def network(honest: Honest, path: Path) -> Any:
    """Loads the network of a folder, checked against its logits."""
    return rebuild.load(path.parent).state_dict()


def logits(honest: Honest, path: Path) -> Any:
    """Reads inputs and logits alone."""
    return rebuild.read_verify(path)


def report(honest: Honest, path: Path) -> Any:
    """Gathers everything for the report."""
    return gather(honest.run("tiny"))


def lock(honest: Honest, path: Path) -> Any:
    """Reads whose a lock is: an answer is a short line in any case."""
    text = owner_text(path)
    if len(text) > 300 or not text.isprintable():
        raise ValueError(f"a lock's owner is told as {text[:50]!r}")
    return is_free(path)
