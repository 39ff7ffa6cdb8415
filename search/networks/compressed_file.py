"""The file of a compressed network: what its card says, and loading it as a plain PyTorch network."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.compress import factorize
from ofa.compress import load as load_tensors
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.input_record import LARGEST, inputs_from_json
from ofa.inputs import Example
from ofa.records import content_of, convert
from ofa.rules import SpaceRules
from ofa.supernet import Supernet
from search.objects import example_of, make_model
from search.run.cards import Rebuild
from search.run.compressed_cards import Factors, OfazCard
from search.run.trust import Trust, check_stored
from search.training.starts import check_settled

FILE = "model.ofaz"
SUFFIX = ".ofaz"


def compressed_file(path: Path) -> Path | None:
    """Returns the .ofaz file that a path names: the file itself, or that of a folder; None where it names none."""
    if path.suffix == SUFFIX and not path.is_dir():
        return path
    return path / FILE if (path / FILE).is_file() else None


def ofaz_card(rebuild: Rebuild, arch: Arch, factors: tuple[Factors, ...], digest: str) -> dict[str, Any]:
    """Returns the card of a file as JSON; defaults are left out."""
    rules = rebuild.space_rules or {}
    default = dataclasses.asdict(SpaceRules())
    return content_of(
        OfazCard(
            digest=digest,
            model=rebuild.model,
            arch=arch.to_dict() if arch.values else {},
            rules={name: value for name, value in rules.items() if _plain(default[name]) != _plain(value)},
            shape=rebuild.input_shape,
            classes=rebuild.num_classes,
            example=rebuild.example,
            factors=factors,
        )
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


def factored(network: nn.Module, factors: Factors) -> nn.Module:
    """Returns a copy of a network with these layers in parts."""
    ranks: dict[str, Any] = dict(factors.ranks)  # of one or two numbers
    return factorize(network, rank=ranks, layers=list(factors.ranks), method=factors.method, only_if_smaller=False)


def load_compressed(
    path: Path, *, model: nn.Module | None = None, rules: SpaceRules | None = None, trust: Sequence[str] = ()
) -> nn.Module:
    """Returns the network of an .ofaz file that `ofa compress` wrote as a plain PyTorch network in eval mode.

    Its tensors are exactly those that were saved. A file may come from anybody: its card calls only this toolkit,
    `torch.nn` and what `trust` names.

    Args:
        path: of the file.
        model: the full model that it came from, if that is not one of the toolkit's; its weights do not matter.
        rules: that the supernet was built with, if they are not in the file.
        trust: packages whose classes and functions the card may call.

    Raises:
        InvalidInput: the file is missing or damaged, its card calls what is not trusted and no model was given, or its
            tensors are not those of the model.
    """
    tensors, content = load_tensors(path)
    card: OfazCard = convert(dict(content), OfazCard, f"{path} holds no network that ofa compress wrote")
    full = _full_model(path, card, trust) if model is None else model
    net = _in_shape(path, full, card, rules)
    expected = net.state_dict()
    tied = _first_names(net)
    for name in sorted(set(tied.values()) ^ tensors.keys()):
        raise InvalidInput(f"{path} is of another model: {name} is in one of them only")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            shapes = f"{list(tensor.shape)} in the file and {list(expected[name].shape)} in the model"
            raise InvalidInput(f"{path} is of another model: {name} is {shapes}")
    net.load_state_dict({name: tensors[first] for name, first in tied.items()})
    if digest_of(net) != card.digest:
        raise InvalidInput(f"{path}: its tensors in the model are not those that were saved: another model?")
    return net.eval()


def _first_names(net: nn.Module) -> dict[str, str]:
    """By each name of the state_dict, the first name of that tensor."""
    first: dict[int, str] = {}
    state: dict[str, Tensor] = net.state_dict(keep_vars=True)
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def _full_model(path: Path, card: OfazCard, trust: Sequence[str]) -> nn.Module:
    if card.model is None or card.shape is None or card.classes is None:
        raise InvalidInput(f"{path} does not say how its model is built: give the full model, load(path, model=...)")
    if not 0 < math.prod(card.shape) <= LARGEST:
        raise InvalidInput(f"{path} has shape={list(card.shape)}, which is of no example")
    try:
        check_stored(card.model, Trust(tuple(trust)), path)
        check_settled(card.model, path)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; or build the full model yourself: load(path, model=...)") from None
    try:
        with torch.random.fork_rng(devices=[]):
            return make_model(card.model, card.shape, card.classes)
    except Exception as error:  # Hydra wraps whatever the model raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InvalidInput(f"{path}: the model cannot be built: {reason}") from error


def _in_shape(path: Path, full: nn.Module, card: OfazCard, rules: SpaceRules | None) -> nn.Module:
    """The full model in the shape of the file's Arch and factors."""
    net = full
    try:
        arch = Arch.from_dict(card.arch)
        if arch.values:
            net = Supernet(full, _example(card), rules or _rules(card)).extract(arch)
        for factors in card.factors:
            net = factored(net, factors)
    except InvalidInput as error:
        raise InvalidInput(f"{path} is of another model or other rules: {error}") from None
    return copy.deepcopy(net) if net is full else net


def _rules(card: OfazCard) -> SpaceRules:
    known = set(SpaceRules.__dataclass_fields__)
    if not set(card.rules) <= known:
        raise InvalidInput(f"its rules must be among {', '.join(sorted(known))}")
    rules: SpaceRules = convert(dict(card.rules), SpaceRules, "its rules")
    return rules


def _example(card: OfazCard) -> Example:
    if card.example is not None:
        return inputs_from_json(card.example)
    return example_of(card.shape or (), torch.Generator().manual_seed(0))
