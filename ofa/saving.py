"""A supernet as a folder, and back: `ofa.save` and `ofa.load`.

The folder holds the weights and a record of what the supernet was made with, no code: the network's class is the
user's, who builds it again. The record is written last and names the file of the weights by their digest, so a kill at
any moment leaves the supernet before or the new one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn

from ofa.checkpoint import load_checkpoint, load_weights, save_supernet, weights
from ofa.errors import InvalidInput
from ofa.fingerprint import Fingerprint, differences, fingerprint_of, shortened, weight_differences, weight_texts
from ofa.input_record import inputs_from_json, inputs_to_json
from ofa.inputs import Inputs
from ofa.kernel_transforms import add_kernel_transforms_, is_kernel_transform
from ofa.plain_network import plain_network
from ofa.recipes import Recipes
from ofa.records import Count, FileName, Hex, Object, Record, Text, convert, read_record, write_record
from ofa.rules import SpaceRules
from ofa.supernet import Supernet

RECORD = "supernet.json"
WEIGHTS = "weights-*.safetensors"
NAMES = ("the folder", "the network")  # of the two that are compared, in messages


class SavedSupernet(Record, frozen=True, kw_only=True):
    """supernet.json of a saved supernet.

    Attributes:
        network: the name of its class.
        weights: the file of its weights, beside this one.
        digest: of weights and space.
        example: the example input, see `inputs_to_json`.
        rules: the SpaceRules.
        choices: the values of each choice of the space, by key.
        layers: a digest of what is coupled in each width, and of the blocks of each stage, by key.
    """

    KIND: ClassVar[str] = "saved supernet"
    REMEDY: ClassVar[str] = "restore it, or save the supernet again"

    network: Text
    weights: FileName
    digest: Hex
    example: Object
    rules: Object
    choices: Mapping[str, tuple[Count, ...]]
    layers: Mapping[str, Hex]


KERNEL = "kernel_size."  # before a convolution's path in the key of its choice


def save(supernet: Supernet, folder: Path | str) -> Path:
    """Returns the folder, after writing the supernet to it: its weights, rules and space, in place of one saved before.

    Norm statistics are among the weights. The network's class is not saved: `ofa.load` is given a fresh one.

    Args:
        supernet: on any device.
        folder: new, empty, or of a supernet that was saved before.

    Raises:
        InvalidInput: no Supernet, a folder with other files in it, or an example input that has no form in a file.
    """
    folder = Path(folder)
    if not isinstance(supernet, Supernet):
        name = type(supernet).__name__
        raise InvalidInput(f"a {name} is not a Supernet: save ofa.Supernet(network, example_input)")
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"{folder} is a file; name a folder that is new, empty or of a saved supernet")
    if folder.is_dir() and not (folder / RECORD).is_file() and any(_others(folder)):
        raise InvalidInput(f"{folder} holds other files; name a folder that is new, empty or of a saved supernet")
    example = inputs_to_json(supernet.inputs)
    digest, fingerprint = supernet.digest, fingerprint_of(supernet)
    record = SavedSupernet(
        network=type(supernet.model).__qualname__,
        weights=WEIGHTS.replace("*", digest),
        digest=digest,
        example=example,
        rules=plain_rules(supernet.rules),
        choices=fingerprint.choices,
        layers=fingerprint.layers,
    )
    save_supernet(supernet, folder / record.weights)
    write_record(folder / RECORD, record)
    for path in folder.glob(WEIGHTS):
        if path.name != record.weights:
            path.unlink(missing_ok=True)
    return folder


def load(folder: Path | str, network: nn.Module | None = None, recipes: Recipes | None = None) -> Supernet:
    """Returns the supernet that `ofa.save` wrote, around a network of the same class that was just built.

    The network gets the saved weights, on the device that it is on. Any subnet computes the same bits as before.

    Args:
        folder: that `ofa.save` was given.
        network: of the class, and made with the arguments, that the saved one was. Its own weights do not matter.
        recipes: those that the saved supernet was made with, as in `Supernet`.

    Raises:
        InvalidInput: files that are missing, damaged or do not belong together; or a network whose weights, choices or
            connections are not the saved one's, which is said by name. The network is then as it was.
    """
    folder = Path(folder)
    record = read_record(folder / RECORD, SavedSupernet)
    if network is None:
        raise InvalidInput(
            f"{folder} holds the weights of a {record.network}, not its class: build one as it was built then, and "
            f"give it, ofa.load(folder, {record.network}(...))"
        )
    network = plain_network(network, "ofa.load")
    tensors, _ = load_checkpoint(folder / record.weights)
    saved = weight_texts(tensors)
    own = {name: text for name, text in weight_texts(weights(network)).items() if not is_kernel_transform(name)}
    plain = {name: text for name, text in saved.items() if not is_kernel_transform(name)}
    _refuse(weight_differences(plain, own, NAMES), folder, record, network)
    rules, example = _rules(folder, record.rules), _example(folder, record)
    if rules.kernel_transforms:
        kernels = {key.removeprefix(KERNEL): sizes for key, sizes in record.choices.items() if key.startswith(KERNEL)}
        add_kernel_transforms_(network, kernels)
    before = {name: tensor.clone() for name, tensor in weights(network).items()}
    load_weights(network, tensors, str(folder / record.weights))
    try:
        device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
        supernet = Supernet(network, example.to(device), rules, recipes)
        other = Fingerprint(saved, record.choices, record.layers)
        _refuse(differences(other, fingerprint_of(supernet), NAMES), folder, record, network)
        if supernet.digest != record.digest:
            raise InvalidInput(f"{folder / record.weights} holds other weights than {RECORD} says; restore both")
    except BaseException:
        load_weights(network, before)
        raise
    return supernet


def _others(folder: Path) -> Iterator[Path]:
    """What is in a folder beside the weights that a save left which was cut off."""
    return (path for path in folder.iterdir() if not path.match(WEIGHTS) and not path.name.startswith("."))


def plain_rules(rules: SpaceRules) -> dict[str, Any]:
    """Returns rules as dictionaries, lists and numbers, as files have them."""
    return {field.name: _plain(getattr(rules, field.name)) for field in fields(rules)}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(inner) for inner in value]
    return value.item() if hasattr(value, "item") else value  # a number of NumPy's


def _rules(folder: Path, value: Mapping[str, Any]) -> SpaceRules:
    known = [field.name for field in fields(SpaceRules)]
    if unknown := sorted(set(value) - set(known)):
        raise InvalidInput(f"{folder / RECORD} is damaged: its rules have {unknown[0]!r:.80}; {SavedSupernet.REMEDY}")
    rules: SpaceRules = convert(value, SpaceRules, f"{folder / RECORD}: rules")
    return rules


def _example(folder: Path, record: SavedSupernet) -> Inputs:
    """An example input of the saved one's form; the values of floating-point tensors do not matter."""
    try:
        return inputs_from_json(record.example)
    except InvalidInput as error:
        raise InvalidInput(f"{folder / RECORD}: {error}; {SavedSupernet.REMEDY}") from None


def _refuse(said: Sequence[str], folder: Path, record: SavedSupernet, network: nn.Module) -> None:
    if said:
        raise InvalidInput(
            f"{folder} is of another network than this {type(network).__qualname__}: {shortened(said)}: "
            f"build the {record.network} as it was built when it was saved"
        )
