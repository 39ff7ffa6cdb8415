"""Paths: where configurations are read and outputs are written; every output's name is in this file."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path


def conf_dir() -> Path:
    """Returns the folder of Hydra configs: inside `search` in a wheel, beside it in a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def limit_text(limit_ms: float) -> str:
    """Returns a latency limit as it is written in names, such as "0.25" for 0.25 ms."""
    return f"{limit_ms:.4g}"


@dataclass(frozen=True)
class RunFolder:
    """The outputs of one run, `outputs/<run>/`."""

    root: Path

    @property
    def name(self) -> str:
        """The run's name."""
        return self.root.name

    @property
    def supernet(self) -> Path:
        """The folder of the trained supernet (see `SupernetFolder`)."""
        return self.root / "supernet"

    @property
    def cache(self) -> Path:
        """The folder of known scores, shared by every search of the run."""
        return self.root / "cache"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.root / "report.html"

    @property
    def live(self) -> Path:
        """What is being done now, one HTML file that reloads itself."""
        return self.root / "live.html"

    @property
    def sweep(self) -> Path:
        """The searches of the run side by side, one HTML file."""
        return self.root / "sweep.html"

    @property
    def comparison(self) -> Path:
        """The subnets chosen for each device, measured on every device, a JSON file."""
        return self.root / "comparison.json"

    @property
    def profiles(self) -> Path:
        """The folder of device profiles."""
        return self.root / "profiles"

    @property
    def searches(self) -> Path:
        """The folder that holds one folder per search."""
        return self.root / "search"

    @property
    def subnets(self) -> Path:
        """The folder that holds one folder per extracted subnet."""
        return self.root / "subnets"

    @property
    def finetuned(self) -> Path:
        """The folder that holds one folder per fine-tuned subnet (see `PrunedFolder`), named as the extracted one."""
        return self.root / "finetune"

    @property
    def dense(self) -> Path:
        """The folder that holds one folder per dense network (see `NetworkFolder`)."""
        return self.root / "dense"

    @property
    def pruned(self) -> Path:
        """The folder that holds one folder per pruned network (see `PrunedFolder`)."""
        return self.root / "prune"

    @property
    def compressed(self) -> Path:
        """The folder that holds one folder per compressed network (see `search.run.compressed_cards`)."""
        return self.root / "compressed"

    def profile(self, device: str) -> Path:
        """The profile of one device, a JSON file."""
        return self.profiles / f"{device}.json"

    def profile_lock(self, device: str) -> Path:
        """The lock held while the profile of one device is made or changed."""
        return self.profiles / f"{device}.lock"

    @property
    def measuring(self) -> Path:
        """The lock held while this machine measures; a run may use several machines (see `search.run.locks`)."""
        return self.profiles / f"{platform.node()}.measuring.lock"

    @property
    def measuring_next(self) -> Path:
        """The lock held by a job that waits to measure on this machine, and while it measures."""
        return self.profiles / f"{platform.node()}.next.lock"

    def bundle(self, digest: str) -> Path:
        """The manifest of a bundle that was sent to another machine to be measured, a JSON file."""
        return self.profiles / "bundles" / f"{digest}.json"

    def search(self, name: str) -> Path:
        """The folder of one search (see `SearchFolder`)."""
        return self.searches / name

    def subnet_list(self, search: str) -> Path:
        """The list of subnets extracted from one search, a JSON file."""
        return self.subnets / f"{search}.json"

    def subnet(self, name: str) -> Path:
        """The folder of one extracted subnet (see `search.networks.folder`)."""
        return self.subnets / name


START = "start.safetensors"


@dataclass(frozen=True)
class NetworkFolder:
    """The files of a trained network."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        """The state of an unfinished training."""
        return self.root / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """The trained weights, by the model's parameter names."""
        return self.root / "model.safetensors"

    @property
    def start(self) -> Path:
        """The weights that the training began with, where they were not those of the model's class."""
        return self.root / START

    @property
    def config(self) -> Path:
        """The resolved configuration, from which later verbs rebuild model and data."""
        return self.root / "config.yaml"

    @property
    def history(self) -> Path:
        """The training's history, one row per epoch."""
        return self.root / "history.json"

    @property
    def card(self) -> Path:
        """What is known about the network: scores, sizes, where it came from."""
        return self.root / "card.json"


@dataclass(frozen=True)
class SupernetFolder(NetworkFolder):
    """The files of a trained supernet."""

    @property
    def dataset(self) -> Path:
        """The data set itself, where no function makes it: of a supernet that was adopted with data in memory."""
        return self.root / "dataset.safetensors"

    @property
    def card(self) -> Path:
        """Digests, the space, and the scores of the largest and the smallest subnet."""
        return self.root / "supernet.json"

    @property
    def layers(self) -> Path:
        """What can vary in each layer, and why the rest cannot."""
        return self.root / "layers.json"


@dataclass(frozen=True)
class PrunedFolder(NetworkFolder):
    """The files of a pruned network; the weights are full-size, with zeros where the masks are."""

    @property
    def masks(self) -> Path:
        """Boolean masks by parameter name; True keeps a weight."""
        return self.root / "masks.safetensors"

    @property
    def slim(self) -> Path:
        """The folder of the slim network, its zeros removed, if the recipe makes one: weights and ONNX."""
        return self.root / "slim"


@dataclass(frozen=True)
class SearchFolder:
    """The files of one search."""

    root: Path

    @property
    def journal(self) -> Path:
        """The Optuna study, appended to during the search."""
        return self.root / "journal.log"

    @property
    def trials(self) -> Path:
        """The finished trials, one row each."""
        return self.root / "trials.json"

    @property
    def artifacts(self) -> Path:
        """The folder of the trials' files, under names that the study knows."""
        return self.root / "artifacts"

    def profile(self, device: str) -> Path:
        """A device's profile as it was when the search began: a resumed search uses it, even if it changed since."""
        return self.root / "profiles" / f"{device}.json"

    @property
    def warm_start(self) -> Path:
        """The candidates of earlier searches that this search started from."""
        return self.root / "warm_start.json"

    def to_measure(self, figure: str) -> Path:
        """The bundle of candidates to be measured on another machine, by the name of its latency figure."""
        return self.root / f"{figure.replace('latency_ms', 'to_measure', 1)}.zip"

    def tuned(self, digest: str) -> PrunedFolder:
        """The folder of a candidate whose fine-tuning is complete, by the digest of all that determines it."""
        return PrunedFolder(self.root / "tuned" / digest)

    @property
    def finalists(self) -> Path:
        """The subnets chosen for each target, with their measured latencies."""
        return self.root / "finalists.json"
