"""A subnet's folder back as a plain PyTorch network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_object, instantiate
from torch import nn

from ofa.arch import Arch
from ofa.checkpoint import load_checkpoint
from ofa.errors import InvalidArch, InvalidInput
from ofa.paths import read_json
from ofa.rules import SpaceRules
from ofa.supernet import Supernet
from search.export import INPUT, OUTPUT, TOLERANCE
from search.subnet_folder import SubnetFolder

MODELS = "ofa.models"


def load(folder: Path, *, model: nn.Module | None = None, rules: SpaceRules | None = None) -> nn.Module:
    """Returns the subnet of a folder as a plain network in eval mode, checked against its verify.npz.

    A folder may come from anybody: only the toolkit's own models are built from its card.

    Args:
        model: the full model that the supernet was made of; its weights do not matter.
        rules: the rules that the supernet was made with, where the card has none.

    Raises:
        InvalidInput: a file is missing or damaged, the card names a model of others and none was given, the
            model is another one, or the network does not compute the logits of verify.npz.
    """
    files = SubnetFolder(folder)
    files.restore()
    if missing := [path.name for path in files.files if not path.is_file()]:
        raise InvalidInput(f"{folder} is not a subnet's folder: {', '.join(missing)} missing")
    card = read_json(files.card)
    arch = Arch.from_dict(read_json(files.arch))
    tensors, _ = load_checkpoint(files.weights)
    images, logits = read_verify(files.verify)
    rebuild = card.get("rebuild") if isinstance(card, Mapping) else None
    if not isinstance(rebuild, Mapping):
        raise InvalidInput(f"{files.card} is damaged: it has no 'rebuild'")
    full = _model(files.card, rebuild.get("model")) if model is None else model
    supernet = Supernet(full, images[:1], rules or _rules(files.card, rebuild.get("space_rules")))
    try:
        net = supernet.extract(arch)
    except InvalidArch as error:
        raise InvalidInput(f"{files.arch} is of another model or other rules: {error}") from None
    own = net.state_dict()
    for name in sorted(own.keys() ^ tensors.keys()):
        raise InvalidInput(f"{files.weights} is of another model: {name} is in one of them only")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            raise InvalidInput(
                f"{files.weights} is of another model: {name} is {list(tensor.shape)} in the file and "
                f"{list(own[name].shape)} in the model"
            )
    net.load_state_dict(tensors)
    net = net.float().eval()
    with torch.no_grad():
        worst = float((net(images) - logits).abs().max()) / max(float(logits.abs().max()), 1e-12)
    if not worst <= TOLERANCE:
        raise InvalidInput(f"{folder}: the rebuilt network's logits are {worst:.2g} off verify.npz's: another model?")
    return net


def read_verify(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the inputs (N, C, H, W) and logits (N, classes) of a verify.npz.

    Raises:
        InvalidInput: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return torch.from_numpy(arrays[INPUT]), torch.from_numpy(arrays[OUTPUT])
    except Exception as error:  # zip, header and array errors have no common class
        raise InvalidInput(f"{path} is damaged ({error}); extract the subnet again") from error


def _model(card: Path, config: Any) -> nn.Module:
    """Returns the full model of the card's config, if that is one of the toolkit's."""
    if not isinstance(config, Mapping):
        raise InvalidInput(f"{card} has no model config: give the full model, load(folder, model=...)")
    for target in _targets(config):
        if not _is_own(target):
            raise InvalidInput(
                f"{card} builds its model by {target!r}, which is not of {MODELS}: build the full model "
                f"yourself and give it, load(folder, model=...)"
            )
    try:
        made = instantiate(dict(config))
    except Exception as error:  # Hydra wraps whatever the model raised
        reason = str(error.__cause__ or error).splitlines()[0]
        raise InvalidInput(f"{card}: the model cannot be built: {reason}") from error
    if not isinstance(made, nn.Module):
        raise InvalidInput(f"{card}: {config['_target_']!r} gave no network")
    return made


def _targets(config: Any) -> list[str]:
    """Returns every `_target_` in a config, at any depth; a mapping without one at the top counts as ''."""
    found: list[str] = []
    if isinstance(config, Mapping):
        found += [str(config["_target_"])] if "_target_" in config else []
        config = list(config.values())
    if isinstance(config, list):
        for item in config:
            found += _targets(item)
    return found


def _is_own(target: str) -> bool:
    """Whether `target` is defined in ofa.models, not merely reachable through it."""
    if not target.startswith(MODELS + "."):
        return False
    try:
        module = getattr(get_object(target), "__module__", "") or ""
    except Exception as error:  # Hydra wraps whatever the import raised
        raise InvalidInput(f"{target!r} does not exist") from error
    return module == MODELS or module.startswith(MODELS + ".")


def _rules(card: Path, value: Any) -> SpaceRules:
    if value is None:
        return SpaceRules()
    known = set(SpaceRules.__dataclass_fields__)
    if not isinstance(value, Mapping) or not set(value) <= known:
        raise InvalidInput(f"{card} is damaged: space_rules must be an object with {', '.join(sorted(known))}")
    return SpaceRules(**value)
