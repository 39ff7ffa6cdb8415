"""Names of the folders of dense and pruned networks: readable, and another one for other settings."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig

from ofa.errors import InvalidInput
from search.stages import hash_of

LONGEST = 120  # characters of a folder's name
NOT_IN_NAME = {
    "run",
    "outputs",
    "force",
    "threads",
    "name",
    "model",
    "data",
    "prune",
    "data.dataset.path",
    "dense.device",
}
NOT_IN_NAME |= {"baseline", "dense.validate_every", "dense.checkpoint_seconds"}


def network_label(config: Mapping[str, Any]) -> str:
    """Returns model and data set in short, such as "lenet300-mnist", from these groups of a configuration."""
    model = str(config["model"].get("_target_", "model")).rpartition(".")[2]
    dataset = config["data"]["dataset"]
    data = str(dataset.get("name") or str(dataset.get("_target_", "data")).rpartition(".")[2])
    return _plain(f"{model}-{data}".lower())


def dense_name(config: Mapping[str, Any]) -> str:
    """Returns the name of the dense network that a configuration trains: its label and a digest of all of it."""
    return f"{network_label(config)}-{hash_of(config)[:8]}"


def pruned_name(given: str | None, label: str, config: Mapping[str, Any]) -> str:
    """Returns the name that was `given`, or one made of the label, the recipe and what the command set besides.

    Raises:
        InvalidInput: a given name that is empty or a path.
    """
    if given is not None:
        if not given or given in (".", "..") or Path(given).name != given:
            raise InvalidInput(f"name={given!r} must be a plain name, such as name=first-try")
        return given
    if not HydraConfig.initialized():
        return f"{label}-{hash_of(config)[:8]}"
    hydra = HydraConfig.get()
    return name_from(label, str(hydra.runtime.choices.get("prune")), list(hydra.overrides.task))


def name_from(label: str, recipe: str, overrides: Sequence[str]) -> str:
    """Returns "label-recipe_key=value_...", of the overrides that change what comes out, those of `prune` first."""
    of_recipe: list[str] = []
    others: list[str] = []
    for override in sorted(overrides):
        key, _, value = override.lstrip("+~").partition("=")
        if key.partition("@")[0] not in NOT_IN_NAME:
            short = re.sub(r"^prune[./]", "", key)
            (others if short == key else of_recipe).append(_plain(f"{short}={value}"))
    name = "_".join([f"{label}-{_plain(recipe)}", *of_recipe, *others])
    if len(name) > LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST - 9]}-{digest}"
    return name


def _plain(text: str) -> str:
    """The text with everything but letters, digits and a few signs as dashes."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-")
