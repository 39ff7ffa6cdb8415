"""A start from weights of timm: a name in the hub, or a local file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput
from ofa.identity import digest_of_tensors
from ofa.models.library import library
from ofa.start.hub import cache_alone, not_fetched
from ofa.start.record import StartRecord, filled_from
from ofa.weights_file import read_weights


def timm(
    model: nn.Module,
    name: str,
    path: str | None = None,
    ignore: Sequence[str] = (),
    arguments: Mapping[str, Any] | None = None,
) -> StartRecord:
    """Returns the record of a start from pretrained weights of timm, after filling `model` in place.

    timm itself makes the weights fit: other names of older files, and the first convolution for another number of
    channels, whose weights are summed or repeated.

    Args:
        model: such as `ofa.models.from_timm` makes with the same name.
        name: of the model, with the name of its weights where there are several, such as "resnet18.a1_in1k".
        path: a local file or folder of these weights; None: the hub's, downloaded unless they are in the cache.
        ignore: see `ofa.start.checkpoint`.
        arguments: that the model was made with besides, such as {"img_size": 32}.

    Raises:
        InvalidInput: no such name or file, no network, the package is missing, or weights of another network.
    """
    options: dict[str, Any] = {"pretrained": True, **(arguments or {})}
    if path is None:
        return filled_from(model, _pretrained(model, name, options).state_dict(), name, ignore)
    tensors = read_weights(path)
    try:
        return filled_from(model, tensors, path, ignore)
    except InvalidInput as plain:  # timm may know what has changed since the file was written
        options["pretrained_cfg_overlay"] = {"state_dict": tensors, "source": "", **_classes(name, tensors)}
        options |= _classes(name, tensors)
        try:
            made = _pretrained(model, name, options)
        except InvalidInput:
            raise plain from None
    return replace(filled_from(model, made.state_dict(), path, ignore), digest=digest_of_tensors(tensors))


def _pretrained(model: nn.Module, name: str, options: Mapping[str, Any]) -> nn.Module:
    """The model of that name as timm fills it, for inputs of as many channels as `model` takes."""
    package = library("timm")
    channels = _input_channels(model, name, package)
    try:
        with torch.random.fork_rng(devices=[]), cache_alone():
            made: nn.Module = package.create_model(
                name, **options, **({} if channels is None else {"in_chans": channels})
            )
    except Exception as error:  # whatever timm, the hub and torch raise
        raise not_fetched(name, f"timm/{name}", error, "start.path=FILE") from error
    return made


def _classes(name: str, tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """How many classes a file's head has, where timm says which layer that is."""
    head = getattr(library("timm").get_pretrained_cfg(name, allow_unregistered=True), "classifier", None)
    weight = tensors.get(f"{head}.weight") if isinstance(head, str) else None
    return {} if weight is None else {"num_classes": int(weight.shape[0])}


def _input_channels(model: nn.Module, name: str, package: Any) -> int | None:
    """The channels that the model's first convolution takes; None where timm does not say which one that is."""
    facts = package.get_pretrained_cfg(name, allow_unregistered=True)
    first = getattr(facts, "first_conv", None)
    weight = model.state_dict().get(f"{first}.weight") if isinstance(first, str) else None
    return None if weight is None or weight.dim() < 2 else int(weight.shape[1])
