"""Configurations of conf/ as commands compose them."""

from __future__ import annotations

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from search.run.paths import conf_dir

LANGUAGE = ("model=gpt", "model.every_token=true", "task=language_model")
NUMBERS = ("model=mlp", "task=regression")
# What fits a data set, lenet5 all others.
FITTING = {
    "text": ("model=gpt",),
    "shapes": ("model=unet", "task=segmentation"),
    **dict.fromkeys(("characters", "text_files"), LANGUAGE),
    **dict.fromkeys(("diabetes", "table", "dataset", "iterables"), NUMBERS),
    **dict.fromkeys(("breast_cancer", "signals", "sounds", "npz", "stream"), ("model=mlp",)),
}


def options(group: str) -> list[str]:
    """Returns the names in a group of configs."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def composed(verb: str, *overrides: str, hydra: bool = False) -> DictConfig:
    """Returns the configuration of a verb, with Hydra's own part where `hydra` is true."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose(verb, list(overrides), return_hydra_config=hydra)


def plain(config: DictConfig, *keys: str) -> dict[str, Any]:
    """Returns the named parts of a configuration as dictionaries, lists and scalars, all where none is named."""
    resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return {key: resolved[key] for key in keys or resolved}
