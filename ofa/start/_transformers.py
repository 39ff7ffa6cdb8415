"""A start from weights of Hugging Face's transformers: a local folder, or a name in the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.identity import digest_of_tensors
from ofa.models.hub import transformers_config
from ofa.models.library import library, one_line, quiet
from ofa.start.hub import hub_folder
from ofa.start.record import StartRecord, filled_from
from ofa.weights_file import read_weights, weight_files


def transformers(model: nn.Module, name: str, ignore: Sequence[str] = (), revision: str | None = None) -> StartRecord:
    """Returns the record of a start from a pretrained model of transformers, after filling `model` in place.

    A model of transformers' own classes is filled as `from_pretrained` does: old names are renamed, and tied weights
    are tied. Any other is filled by name. No code of the folder or the hub is run.

    Args:
        model: such as `ofa.models.from_transformers` makes.
        name: a local folder with config.json and the weights, or a name in the hub, such as "gpt2", which is downloaded
            unless it is in the cache.
        ignore: see `ofa.start.checkpoint`.
        revision: of the hub: a branch, a tag or a commit.

    Raises:
        InvalidInput: no such folder or name, no network, the package is missing, or weights of another network.
    """
    package = library("transformers")
    folder = name if Path(name).is_dir() else hub_folder(name, revision)
    if not isinstance(model, package.PreTrainedModel):
        return filled_from(model, read_weights(folder), name, ignore)
    weight_files(folder)  # says what is missing
    try:
        record = filled_from(model, _renamed(package, model, folder), name, ignore)
    except InvalidInput as error:
        raise InvalidInput(f"{error}{_saved_as(package, model, folder)}") from None
    return replace(record, digest=digest_of_tensors(read_weights(folder)))


def _saved_as(package: Any, model: Any, folder: str) -> str:
    """Which class a folder was saved from, and what makes it, in words; empty where it is the model's."""
    [saved, *_] = transformers_config(folder).get("architectures") or [type(model).__name__]
    if saved == type(model).__name__:
        return ""
    kinds = [kind for kind in dir(package) if kind.startswith("AutoModelFor")]
    made = [getattr(getattr(package, kind), "_model_mapping", {}).get(type(model.config), None) for kind in kinds]
    makers = [kind for kind, net in zip(kinds, made, strict=True) if getattr(net, "__name__", None) == saved]
    return f"; {folder} was saved from {saved}" + (f", which model.kind={makers[0]} makes" if makers else "")


def _renamed(package: Any, model: Any, folder: str) -> Mapping[str, Tensor]:
    """The weights of a folder under the names that transformers gives them in a model of this class."""
    try:
        with torch.random.fork_rng(devices=[]), quiet(package):
            loaded, info = type(model).from_pretrained(
                folder,
                config=model.config,
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the message about them names the way out
                local_files_only=True,
            )
    except Exception as error:  # whatever the library raises for a damaged folder
        raise InvalidInput(f"{folder} cannot be loaded into {type(model).__name__}: {one_line(error)}") from error
    shapes = {str(row[0]): tuple(row[1]) for row in info["mismatched_keys"]}
    absent = {str(name) for name in info["missing_keys"]}
    tensors = {name: tensor for name, tensor in loaded.state_dict().items() if name not in absent}
    tensors |= {name: torch.empty(shape) for name, shape in shapes.items()}
    return tensors | {str(name): torch.empty(0) for name in info["unexpected_keys"]}
