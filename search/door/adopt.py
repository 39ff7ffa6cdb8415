"""`search.adopt`: a supernet trained in one's own loop becomes a run; the supernet and data of a search in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ofa
from ofa.checkpoint import load_weights, save_supernet, weights
from ofa.data import Dataset
from ofa.data.contents import changes, contents_of
from ofa.data_file import save_data
from ofa.errors import InvalidInput
from ofa.fingerprint import differences, fingerprint_of, shortened
from ofa.inputs import output_tensors
from ofa.modes import in_mode
from ofa.records import read_record, write_record
from ofa.saving import plain_rules
from ofa.task import Batch, Task, as_batch, classification
from search.config.request import Request, run_text
from search.config.rules import CalibrationExamples
from search.door.inputs import check_data, check_supernet, one_line_errors, task_config
from search.evaluation.supernet import supernet_card
from search.objects import build_data, build_supernet, build_task
from search.run.locks import claimed
from search.run.paths import RunFolder, SupernetFolder
from search.run.progress import progress_shown, say
from search.run.result_files import layers_of
from search.run.stages import Stage, hash_of, is_complete, written
from search.run.stored_inputs import DATA, begin_with, check_same, read_stored_config, show_data, write_stored_config
from search.run.training_cards import SupernetCard, history_of
from search.run.trust import TOOLKIT_ALONE, Trust, check_stored, packages_to_trust, targets_in
from search.training.trained import STORED, Trained, say_warnings

CALIBRATION_IMAGES = 1024
COMPARED = 8  # images that the network and the one made again compute


def adopt(
    supernet: ofa.Supernet,
    data: Dataset,
    run: str = "main",
    outputs: Path | str = "outputs",
    *,
    model: str | None = None,
    model_arguments: Mapping[str, Any] | None = None,
    dataset: str | None = None,
    dataset_arguments: Mapping[str, Any] | None = None,
    task: str | Mapping[str, Any] = "classification",
    seed: int = 0,
    force: bool = False,
    progress: bool = True,
) -> RunFolder:
    """Returns the folder of a run, `outputs/run`, that holds the supernet and the data as `ofa train` would leave them.

    So `ofa profile`, `search`, `extract`, `compare` and `report` go on from there, and `search.find` with that run's
    name. Verbs build the network again: that is done here once, and compared with the one given. How it was trained is
    not known, so a joint search cannot rewind it.

    Args:
        supernet: trained; it is not changed.
        data: what it was trained with. Later verbs refuse other data, split by split.
        run, outputs: the run's name, and the folder of all runs.
        model: the dotted name of what makes the network, such as "my_module.Net"; the network's own class where None.
        model_arguments: plain values (numbers, text, lists); input_shape, num_classes and the like are given without
            being named where the factory takes them, as for the group `model` of a configuration.
        dataset: the dotted name of a function that returns the data, such as "ofa.data.digits"; where None the data's
            tensors are stored in the run.
        dataset_arguments: plain values.
        task: what it learned: a name of conf/task, such as "regression", or a mapping with `_target_`, as in a
            configuration.
        seed: of fresh weights, where a joint search asks for some.
        force: whether the run's supernet is replaced, where it has another one.
        progress: whether lines are printed.

    Raises:
        InvalidInput: a network or data that cannot be made again, or comes out differently, which is said by name; or
            the run has another supernet.
    """
    with progress_shown(progress), one_line_errors():
        check_supernet(supernet, "adopt")
        learned = build_task(task_config(task), data)
        check_data(data, supernet, "adopt", learned)
        folder = Request(run=run, outputs=str(outputs), seed=seed).folder
        config: dict[str, Any] = {
            "model": {"_target_": model or _own_name(supernet.model), **_plain("model_arguments", model_arguments)},
            "data": _data_config(dataset, dataset_arguments, data),
            "task": task_config(task),
            "space": {"_target_": "ofa.SpaceRules", **plain_rules(supernet.rules)},
            "train": None,
            "seed": seed,
        }
        check_stored(config, Trust(targets=targets_in(config)), folder.supernet)
        _check_model(supernet, data, learned, config)
        inputs = {"weights": supernet.digest, "data": hash_of(contents_of(data).digests)}
        stage = Stage("train", folder.supernet, config, inputs)
        with claimed(stage, force=force) as needed:
            if not needed:
                say(f"adopt: {stage.output} is there, nothing to do")
                return folder
            show_data(data, config["data"])
            card = supernet_card(supernet, data, learned, CALIBRATION_IMAGES, hash_of(config), 0.0)
            with written(stage, force=force) as target:
                _write(supernet, data, card, config, SupernetFolder(target))
        packages = packages_to_trust(config)
        trust = f' "trust=[{",".join(packages)}]"' if packages else ""  # quoted, as zsh wants it
        say(f"adopt: {stage.output}; next: ofa search {run_text(folder)}{trust}")
    return folder


def _write(
    supernet: ofa.Supernet, data: Dataset, card: SupernetCard, config: dict[str, Any], files: SupernetFolder
) -> None:
    begin_with(data, files.root, "force=True to adopt it anew")
    if config["data"]["dataset"]["_target_"] == STORED:
        save_data(data, files.dataset)
    save_supernet(supernet, files.weights, {"config_hash": hash_of(config)})
    write_stored_config(files.config, config)
    write_record(files.history, history_of([]))
    say_warnings("adopt", card.warnings)
    write_record(files.card, card)
    write_record(files.layers, layers_of(ofa.inspect(supernet), type(supernet.model).__name__))


def _own_name(network: nn.Module) -> str:
    """The dotted name of a network's class, by which a verb can import it."""
    kind = type(network)
    if kind.__module__ == "__main__" or "<" in kind.__qualname__:
        raise InvalidInput(
            f"{kind.__qualname__} is defined in {kind.__module__}, where no verb finds it: move it to a module of its "
            f"own, and give model='my_module.{kind.__name__}' and its model_arguments"
        )
    return f"{kind.__module__}.{kind.__qualname__}"


def _plain(name: str, values: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments as configurations have them."""
    for key, value in (values or {}).items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError):
            raise InvalidInput(
                f"{name}[{key!r}]={value!r:.60} is a {type(value).__name__}; give numbers, text, lists and mappings, "
                f"as they are written to a file"
            ) from None
    plain: dict[str, Any] = json.loads(json.dumps(dict(values or {})))
    return plain


def _data_config(name: str | None, arguments: Mapping[str, Any] | None, data: Dataset) -> dict[str, Any]:
    """The `data` group, checked by making it again where a function makes it."""
    if name is None:
        if arguments:
            raise InvalidInput("dataset_arguments are of a function: give its name, dataset='my_module.load_data'")
        return {"dataset": {"_target_": STORED, "path": SupernetFolder(Path()).dataset.name}, "augment": None}
    config = {"dataset": {"_target_": name, **_plain("dataset_arguments", arguments)}, "augment": None}
    if said := changes(contents_of(data), contents_of(build_data(config))):
        raise InvalidInput(f"dataset={name!r} makes other data than was given: {said}; give its dataset_arguments")
    return config


def _check_model(supernet: ofa.Supernet, data: Dataset, task: Task, config: Mapping[str, Any]) -> None:
    """Builds the supernet as later verbs do, and compares it with the one given, to the bits of its outputs."""
    name = config["model"]["_target_"]
    again = build_supernet(config["model"], config["space"], data, int(config["seed"]), task=task)
    said = differences(fingerprint_of(supernet), fingerprint_of(again), ("the supernet", f"one made by {name}"))
    if said:
        raise InvalidInput(f"model={name!r} makes another network: {shortened(said)}; give its model_arguments")
    load_weights(again.model, weights(supernet.model))
    batch = as_batch(next(iter(data.validation.in_order(COMPARED))))
    given, made = (_outputs(network, batch, task) for network in (supernet.model, again.model))
    worst = max((_difference(*pair) for pair in zip(given, made, strict=True)), default=0.0)
    if worst:
        raise InvalidInput(
            f"model={name!r} makes a network of the same layers that computes other outputs (by {worst:.2g}); "
            f"give its model_arguments"
        )


def _outputs(network: nn.Module, batch: Batch, task: Task) -> list[Tensor]:
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    with in_mode(network, training=False), torch.no_grad():
        return [tensor.cpu() for tensor in output_tensors(task.call(network, batch.to(device)))]


def _difference(first: Tensor, other: Tensor) -> float:
    return 0.0 if torch.equal(first, other) else float((first.double() - other.double()).abs().max())


def task_of(run: RunFolder, data: Dataset) -> Task:
    """What the run's supernet learned; classification where the run has none.

    Raises:
        InvalidInput: data that are not of the package's types, or a task of the run that is not the toolkit's.
    """
    files = SupernetFolder(run.supernet)
    if not is_complete(files.root):
        return classification(data)
    config = read_stored_config(files.config)["task"]
    check_stored(config, TOOLKIT_ALONE, files.config)
    return build_task(config, data)


def trained_in(
    run: RunFolder, supernet: ofa.Supernet, data: Dataset, task: Task, calibration_images: CalibrationExamples
) -> Trained:
    """The supernet and the data as a search takes them, with what is known of them in the run.

    A run without a supernet of its own keeps a record of the data, so that it is gone on with the same alone.

    Raises:
        InvalidInput: the run is of another supernet or of other data.
    """
    files = SupernetFolder(run.supernet)
    if is_complete(files.root):
        card = read_record(files.card, SupernetCard)
        if card.digest != supernet.digest:
            raise InvalidInput(
                f"{files.root} is another supernet ({card.digest}, this one is {supernet.digest}): use run=NAME for "
                f"another run, or adopt this one with force=True"
            )
        check_same(data, files.root, "adopt it with force=True")
        return Trained(supernet, data, task, read_stored_config(files.config), card)
    if (run.root / DATA).exists():
        check_same(data, run.root, f"delete {run.root} to begin anew")
    config: dict[str, Any] = {
        "model": None,
        "data": {"dataset": None, "augment": None},
        "task": None,
        "space": {"_target_": "ofa.SpaceRules", **plain_rules(supernet.rules)},
        "train": None,
        "seed": 0,
    }
    card = supernet_card(supernet, data, task, calibration_images, hash_of(config), 0.0)
    begin_with(data, run.root, f"delete {run.root} to begin anew")  # not before: data that fail leave no folder
    return Trained(supernet, data, task, config, card)
