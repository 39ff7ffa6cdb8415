"""What a training begins with, kept in its run and never read from elsewhere again: weights, and a configured model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from ofa.checkpoint import load_checkpoint, save_checkpoint, weights
from ofa.errors import InvalidInput
from ofa.fill import fill_
from ofa.identity import digest_of, digest_of_tensors
from ofa.kernel_transforms import is_kernel_transform
from ofa.models.hub import timm_architecture, transformers_config
from ofa.records import Object, convert
from ofa.start import StartRecord
from ofa.weights_file import read_weights, weight_files
from search.config.rules import Target
from search.objects import make_partial
from search.run.contents import in_order_of_writing
from search.run.paths import START
from search.run.stages import Stage, hash_of, resumes_in, stamped_config, stamped_inputs

OWN = "ofa.start."  # starts of this toolkit, which read weights by `ofa.weights_file`
INPUT = "start"  # the name of a stage's input, and the key of its configuration
PLACES = ("path", "folder", "name")  # arguments of a start that may name a file or a folder
TRANSFORMERS, TIMM = "ofa.models.from_transformers", "ofa.models.from_timm"


class Beginning:
    """Fills a network with the weights that its training begins with, and knows where they came from.

    Args:
        start: the group `start` of a configuration; None for a network as it is built.
        copy: the file in the run's folder that keeps the weights; where it exists, they are read from there alone.
    """

    def __init__(self, start: Target | None, copy: Path | None) -> None:
        self._start, self._copy = start, copy
        self.record: StartRecord | None = None

    def __call__(self, net: nn.Module) -> None:
        """Fills `net` in place.

        Raises:
            InvalidInput: weights that are missing, damaged or of another network.
        """
        if not self._start:
            return
        if self._copy is not None and self._copy.is_file():
            self.record = load_start(net, self._copy)
            return
        try:
            record = make_partial(INPUT, self._start)(net)
        except InvalidInput as error:  # its arguments are keys of the group here
            raise InvalidInput(re.sub(r"\b(?=(ignore|key)=)", f"{INPUT}.", str(error))) from error
        if not isinstance(record, StartRecord):  # a user's own start, which filled the network and says no more
            digest = digest_of(net)
            record = StartRecord(str(self._start["_target_"]), digest, len(net.state_dict()))
        self.record = record

    def keep(self, net: nn.Module, path: Path) -> None:
        """Writes the weights of `net`, which was filled and not trained yet, to a file of the run."""
        if self.record is not None and not path.is_file():
            tensors = {name: tensor for name, tensor in weights(net).items() if not is_kernel_transform(name)}
            save_checkpoint(path, tensors, {INPUT: asdict(self.record)})


def load_start(net: nn.Module, copy: Path) -> StartRecord:
    """Returns the record of a start, after filling a network with the copy of its weights in a run's folder.

    What the start left as it was built, such as a new head, stays as it is built here.

    Raises:
        InvalidInput: a damaged file, or one of another network.
    """
    tensors, meta = load_checkpoint(copy)
    record: StartRecord = convert(meta.get(INPUT), StartRecord, f"{copy} is damaged")
    fill_(net, tensors, str(copy), record.missing)
    return record


def start_inputs(start: Target | None, outputs: Iterable[Path]) -> dict[str, str]:
    """Returns the digest of the weights that a start reads now, as an input of its stage.

    Where the file is gone it is that of the newest output that was made from it: the run has its copy. A name in a hub
    is not looked up.

    Args:
        start: the group of the configuration.
        outputs: of stages that may have been made, or begun, with the same start.

    Raises:
        InvalidInput: a file that cannot be read, or that is not there and never was.
    """
    if not start:
        return {}
    if there := _there(start):
        return {INPUT: _digest(there, start)}
    for output in reversed(in_order_of_writing(outputs)):
        if _source_of(stamped_config(output).get(INPUT)) == _source_of(start) and (
            known := stamped_inputs(output).get(INPUT)
        ):
            return {INPUT: known}
    if isinstance(start.get("path"), str):
        weight_files(start["path"])  # says that it is not there
    return {}


def copy_of(stage: Stage, start: Target | None, *, force: bool) -> Path | None:
    """Returns the copy of a start's weights that a stage has to begin with; None where it reads the start itself.

    That of an interrupted stage which resumes, or, where the start is gone, that of the output to be redone.
    """
    if not start:
        return None
    resumed = resumes_in(stage, force=force)
    folders = [] if resumed is None else [resumed]
    if not _there(start) and stamped_config(stage.output).get(INPUT) == start:
        folders.append(stage.output)
    return next((folder / START for folder in folders if (folder / START).is_file()), None)


def _source_of(start: Any) -> dict[str, Any]:
    """What a start reads, whatever it does with it."""
    return {key: start.get(key) for key in ("_target_", *PLACES)} if isinstance(start, Mapping) else {}


def _there(start: Target) -> str:
    """The file or folder that a start names, if it is there now; else ""."""
    named = [start.get(key) for key in PLACES]
    return next((location for location in named if isinstance(location, str) and Path(location).exists()), "")


def _digest(location: str, start: Target) -> str:
    """The digest of a start's weights; for a function of the user's own, of the bytes of the file that it names."""
    if str(start.get("_target_")).startswith(OWN):
        key = start.get("key")
        return digest_of_tensors(read_weights(location, key if isinstance(key, str) else None))
    if Path(location).is_dir():
        return hash_of({"folder": location})
    with open(location, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def settled(model: Object, outputs: Iterable[Path]) -> dict[str, Any]:
    """Returns a `model` group that needs no other file: a network of transformers with its configuration written out.

    So later verbs build it again when the folder is gone, and a folder that was replaced is another configuration.

    Args:
        model: the group.
        outputs: of stages that may have been made with the same name: what they keep replaces a folder that is gone,
            and what the hub says now.

    Raises:
        InvalidInput: a name that is neither a folder nor known, or a damaged configuration.
    """
    target, name = model.get("_target_"), model.get("name")
    if not isinstance(name, str):
        return dict(model)
    if target == TIMM and Path(name).is_dir():
        architecture, arguments = timm_architecture(name)
        return {**model, "name": architecture, "arguments": {**arguments, **(model.get("arguments") or {})}}
    if target != TRANSFORMERS or model.get("config") is not None:
        return dict(model)
    if not Path(name).is_dir():
        for output in outputs:
            known = stamped_config(output).get("model")
            if isinstance(known, dict) and {**known, "config": None} == {**model, "config": None}:
                return known
    return {**model, "config": transformers_config(name)}


def check_settled(model: Object, source: Path) -> None:
    """Checks that a stored model reads nothing from elsewhere.

    Raises:
        InvalidInput: it names a folder or a hub, and has no configuration.
    """
    name = str(model.get("name"))
    unread = model.get("_target_") == TRANSFORMERS and model.get("config") is None
    if unread or (model.get("_target_") == TIMM and ("/" in name or ":" in name)):
        raise InvalidInput(f"{source} is damaged: model.name={name:.80} would be read from elsewhere; restore it")
