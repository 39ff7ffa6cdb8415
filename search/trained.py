"""A trained supernet with its data, read back from the folder that `ofa train` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ofa import Supernet
from ofa.checkpoint import load_supernet
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.paths import read_json
from search.app.build import build_data, build_supernet
from search.paths import RunFolder, SupernetFolder
from search.stages import hash_of, is_complete


@dataclass(frozen=True)
class Trained:
    """A trained supernet, its data set, and the resolved configuration of both."""

    supernet: Supernet
    data: Dataset
    config: dict[str, Any]
    card: dict[str, Any]

    @property
    def digest(self) -> str:
        """The supernet's digest."""
        return str(self.card["digest"])


def load_trained(run: RunFolder) -> Trained:
    """Returns the supernet of a run.

    Raises:
        InvalidInput: none was trained, or its files are damaged or do not belong together.
    """
    files = SupernetFolder(run.supernet)
    if not is_complete(files.root):
        begun = "its training was not finished: run the same ofa train again"
        remedy = begun if files.root.exists() else f"run ofa train run={run.name} first"
        raise InvalidInput(f"{files.root} holds no trained supernet ({remedy})")
    card, config = read_json(files.card), _read_config(files)
    if hash_of(config) != card.get("config_hash"):
        raise InvalidInput(f"{files.config} is not what {files.weights} was trained with; restore it")
    data = build_data(config["data"])
    supernet = build_supernet(config["model"], config["space"], data, int(config["seed"]))
    load_supernet(supernet, files.weights)
    if supernet.digest != card.get("digest"):
        raise InvalidInput(f"{files.weights} is not the supernet that {files.card} describes; restore both")
    return Trained(supernet, data, config, card)


def _read_config(files: SupernetFolder) -> dict[str, Any]:
    try:
        config = OmegaConf.to_container(OmegaConf.load(files.config), resolve=True)
    except FileNotFoundError:
        raise InvalidInput(f"{files.config} does not exist; train again with force=true") from None
    except (OmegaConfBaseException, YAMLError, ValueError, OSError) as error:
        raise InvalidInput(f"{files.config} is damaged ({str(error).splitlines()[0]}); restore it") from None
    if not isinstance(config, dict) or not {"model", "data", "space", "train", "seed"} <= config.keys():
        raise InvalidInput(f"{files.config} is damaged: it needs model, data, space, train and seed")
    return {str(key): value for key, value in config.items()}
