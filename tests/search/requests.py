"""The requests of verbs as the command line makes them."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from search.config.read import read_request
from search.config.verbs import REQUESTS
from search.run.paths import conf_dir


def configuration(verb: str, *overrides: str) -> DictConfig:
    """Returns the configuration of a verb, without Hydra's own part; each call's own."""
    return copy.deepcopy(_composed(verb, *overrides))


@cache
def _composed(verb: str, *overrides: str) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        config = compose(verb, list(overrides))
    GlobalHydra.instance().clear()
    return config


def request(verb: str, *overrides: str) -> Any:
    """Returns the request of a verb."""
    return read_request(configuration(verb, *overrides), REQUESTS[verb])
