"""Where configs are read and outputs are written: every output's name is in this file."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path


def conf_dir() -> Path:
    """Returns the folder of Hydra configs: inside `search` in a wheel, beside it in a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parent.parent / "conf"


def limit_text(limit_ms: float) -> str:
    """Returns a latency limit as it stands in names, such as "0.25" for 0.25 ms."""
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
        """The folder of known accuracies, shared by every search of the run."""
        return self.root / "cache"

    @property
    def report(self) -> Path:
        """The report, one HTML file."""
        return self.root / "report.html"

    @property
    def sweep(self) -> Path:
        """The searches of the run side by side, one HTML file."""
        return self.root / "sweep.html"

    @property
    def comparison(self) -> Path:
        """What was chosen for each device, measured on every device, a JSON file."""
        return self.root / "comparison.json"

    @property
    def profiles(self) -> Path:
        """The folder of what was measured on each device."""
        return self.root / "profiles"

    @property
    def searches(self) -> Path:
        """The folder that holds one folder a search."""
        return self.root / "search"

    @property
    def subnets(self) -> Path:
        """The folder that holds one folder an extracted subnet."""
        return self.root / "subnets"

    @property
    def dense(self) -> Path:
        """The folder that holds one folder a dense network (see `NetworkFolder`)."""
        return self.root / "dense"

    @property
    def pruned(self) -> Path:
        """The folder that holds one folder a pruned network (see `PrunedFolder`)."""
        return self.root / "prune"

    def profile(self, device: str) -> Path:
        """The profile of one device, a JSON file."""
        return self.profiles / f"{device}.json"

    def profile_lock(self, device: str) -> Path:
        """Held by who makes or changes the profile of one device."""
        return self.profiles / f"{device}.lock"

    @property
    def measuring(self) -> Path:
        """Held while something is measured on this machine, of which a run may have several (see `search.locks`)."""
        return self.profiles / f"{platform.node()}.measuring.lock"

    @property
    def measuring_next(self) -> Path:
        """Held by who wants to measure on this machine, and while it does."""
        return self.profiles / f"{platform.node()}.next.lock"

    def bundle(self, digest: str) -> Path:
        """What was sent to another machine to be measured, the manifest of a bundle, a JSON file."""
        return self.profiles / "bundles" / f"{digest}.json"

    def search(self, name: str) -> Path:
        """The folder of one search (see `SearchFolder`)."""
        return self.searches / name

    def subnet_list(self, search: str) -> Path:
        """What was extracted from one search, a JSON file."""
        return self.subnets / f"{search}.json"

    def subnet(self, name: str) -> Path:
        """The folder of one extracted subnet (see `search.subnet_names`)."""
        return self.subnets / name


@dataclass(frozen=True)
class NetworkFolder:
    """The files of a network that was trained."""

    root: Path

    @property
    def checkpoint(self) -> Path:
        """The state of a training that is not finished."""
        return self.root / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """The trained weights, by the names of the model."""
        return self.root / "model.safetensors"

    @property
    def config(self) -> Path:
        """The resolved configuration, from which later verbs build model and data again."""
        return self.root / "config.yaml"

    @property
    def history(self) -> Path:
        """A row an epoch."""
        return self.root / "history.json"

    @property
    def card(self) -> Path:
        """What is known about the network: accuracy, sizes, where it came from."""
        return self.root / "card.json"


@dataclass(frozen=True)
class SupernetFolder(NetworkFolder):
    """The files of a trained supernet."""

    @property
    def card(self) -> Path:
        """Digests, the space, and the accuracy of the largest and the smallest subnet."""
        return self.root / "supernet.json"


@dataclass(frozen=True)
class PrunedFolder(NetworkFolder):
    """The files of a pruned network; the weights are full-size, with zeros where the masks are."""

    @property
    def masks(self) -> Path:
        """Masks of bool, True is kept, by name of the parameter."""
        return self.root / "masks.safetensors"

    @property
    def slim(self) -> Path:
        """The folder of the network without what is zero, where the recipe makes one: weights and ONNX."""
        return self.root / "slim"


@dataclass(frozen=True)
class SearchFolder:
    """The files of one search."""

    root: Path

    @property
    def journal(self) -> Path:
        """The Optuna study, appended to as the search goes on."""
        return self.root / "journal.log"

    @property
    def trials(self) -> Path:
        """Every finished trial as a row."""
        return self.root / "trials.json"

    @property
    def artifacts(self) -> Path:
        """The folder of the trials' files, under names that the study knows."""
        return self.root / "artifacts"

    def profile(self, device: str) -> Path:
        """The profile of a device as it was when the search began: what it goes on with, whatever was learned since."""
        return self.root / "profiles" / f"{device}.json"

    @property
    def warm_start(self) -> Path:
        """The candidates of earlier searches that this one began with."""
        return self.root / "warm_start.json"

    def to_measure(self, figure: str) -> Path:
        """The bundle of candidates to be measured on another machine, by the name of its latency figure."""
        return self.root / f"{figure.replace('latency_ms', 'to_measure', 1)}.zip"

    def tuned(self, digest: str) -> PrunedFolder:
        """The folder of a candidate that was fine-tuned to the end, by the digest of what decides it."""
        return PrunedFolder(self.root / "tuned" / digest)

    @property
    def finalists(self) -> Path:
        """What was chosen for each target, with its measured latencies."""
        return self.root / "finalists.json"
