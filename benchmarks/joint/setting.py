"""What all ways of searching share: a trained supernet, a device's profile, the limits and the budget."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hydra import compose, initialize_config_dir

from ofa.arch import Arch
from ofa.errors import InvalidInput
from search.app.main import main as ofa
from search.candidates.figures import Figures
from search.candidates.limits import Limits
from search.config.read import read_request
from search.config.search import SearchRequest
from search.device import Profile, read_profile
from search.device.devices import free_figures
from search.evaluation.supernet import Evaluator
from search.run.paths import RunFolder, conf_dir
from search.training.trained import Trained, load_trained

# Narrow enough that size costs accuracy, with many images to validate on: candidates are chosen by that.
NARROW = ("model.widths=[4,8,16]", "space.multiple_of=1", "train.validate_every=0")
PROBLEMS = {
    "digits": ("data=digits", "model=digits_net", "train.epochs=60", "model.depth=20", "data.dataset.validation=0.4"),
    "mnist": (
        *("model=resnet20", "data=mnist", "data.dataset.image_size=14", "train.epochs=30"),
        *("data.dataset.limit_train=4000", "data.dataset.limit_validation=2000", "data.dataset.limit_test=5000"),
    ),
}
LATENCIES = (0.15, 0.35, 0.6)  # limits, as fractions of the way from the smallest subnet to the largest
BYTES = (0.1, 0.15, 0.3)  # of the largest subnet's


@dataclass(frozen=True)
class Setting:
    """What is searched, on which device, with how many fine-tunings of how many epochs.

    `learns_first` says whether a joint study begins with evaluations in the supernet.
    """

    run: RunFolder
    trained: Trained
    profile: Profile
    tunings: int
    epochs: int
    learns_first: bool = True

    @cached_property
    def figures(self) -> Figures:
        """The free figures of Archs: predicted latency, and exact costs."""
        return free_figures(self.trained.supernet, {"latency_ms": self.profile})

    @cached_property
    def evaluator(self) -> Evaluator:
        """The accuracy of Archs in the supernet, on validation."""
        data = self.trained.data
        trained = self.trained
        return Evaluator(trained.supernet, data, trained.task, data.calibration(1024), cache=self.run.cache)

    def request(self, seed: int) -> SearchRequest:
        """Returns what `ofa search search=joint` asks for with one seed, no candidate being given up early."""
        overrides = ["search=joint", "search.tuning.rungs=[]", f"search.tuning.epochs={self.epochs}", f"seed={seed}"]
        overrides += [f"run={self.run.name}", f"outputs={self.run.root.parent}"]
        with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
            return read_request(compose("search", overrides), SearchRequest)

    @cached_property
    def largest(self) -> dict[str, float]:
        """The figures of the largest subnet."""
        return self._figures(self.trained.supernet.space.largest)

    @cached_property
    def latencies(self) -> tuple[float, ...]:
        """The latency limits, ms."""
        least, most = self._figures(self.trained.supernet.space.smallest)["latency_ms"], self.largest["latency_ms"]
        return tuple(least + fraction * (most - least) for fraction in LATENCIES)

    @cached_property
    def bytes(self) -> tuple[float, ...]:
        """The limits on bytes."""
        return tuple(fraction * self.largest["bytes"] for fraction in BYTES)

    @cached_property
    def pairs(self) -> tuple[dict[str, float], ...]:
        """Every latency limit with every limit on bytes."""
        both = itertools.product(self.latencies, self.bytes)
        return tuple({"latency_ms": latency, "bytes": size} for latency, size in both)

    def limits(self, names: Sequence[str]) -> Limits:
        """Returns the targets of a study that some figures are limited in."""
        distinct = {tuple((name, pair[name]) for name in names): None for pair in self.pairs}
        return Limits(tuple(map(dict, distinct)))

    def _figures(self, arch: Arch) -> dict[str, float]:
        return {name: float(values[0]) for name, values in self.figures([arch]).items()}


def make_setting(problem: str, folder: Path, tunings: int, epochs: int, overrides: Sequence[str] = ()) -> Setting:
    """Returns the setting, its supernet trained and its device profiled in `folder` where they are not there yet."""
    own: list[str] = [f"outputs={folder}", f"run={problem}"]
    if ofa(["train", *own, *NARROW, *PROBLEMS[problem], *overrides]) or ofa(["profile", *own]):
        raise InvalidInput(f"no supernet or profile in {folder}: making it failed")
    run = RunFolder(folder / problem)
    trained = load_trained(run)
    return Setting(run, trained, read_profile(run.profile("onnxruntime"), trained.supernet), tunings, epochs)
