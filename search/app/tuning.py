"""The part of `ofa search` that fine-tunes candidates: what a configuration with `search.tuning` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from optuna.pruners import BasePruner

from ofa.errors import InvalidInput
from search.app.build import make, plain, positive
from search.candidate import Candidate
from search.candidate_space import CandidateSpace
from search.evaluation import Evaluation
from search.fidelities import Fidelities
from search.figures import CandidateFigures, Figures
from search.free_figures import of_candidates
from search.locks import WAITS, evaluating
from search.paths import RunFolder
from search.trained import Trained
from search.tuning.searched_keys import SearchedKeys, searched_keys
from search.tuning.sparse_figures import sparse_figures
from search.tuning.sparsities import sparsities_of
from search.tuning.start_weights import StartWeights
from search.tuning.tune import Gate, longer
from search.tuning.tuned_cache import TunedCache
from search.tuning.tuner import Tuner
from search.zero_shot import check_count

GROUPS = ("initializer", "dense", "prune")  # that decide what a fine-tuning gives, beside search.tuning


@dataclass(frozen=True)
class Tuning:
    """What a search with fine-tuning has beside one without.

    Attributes:
        keys: what is searched beside the Arch.
        tuner: fine-tunes candidates.
        fidelities: the steps in which it is done.
        finalist_epochs: of those that are measured at the end.
    """

    keys: SearchedKeys
    tuner: Tuner
    fidelities: Fidelities
    finalist_epochs: int

    def with_digests(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """Returns the content of finalists.json with the digest of each chosen network under "tuned"."""
        finalists = []
        for finalist in found["finalists"]:
            candidate = Candidate.from_dict(finalist["chosen"])
            digest = self.tuner.digest(candidate, longer(self.tuner.settings(candidate), self.finalist_epochs))
            finalists.append({**finalist, "chosen": {**finalist["chosen"], "tuned": digest}})
        return {**found, "finalists": finalists}


def check_tuning(config: DictConfig) -> None:
    """Checks what can be wrong in a fine-tuning before anything long is begun.

    Raises:
        InvalidInput: parameters without a tuning, an entry of them or a number of Archs that cannot be used.
    """
    if config.search.get("tuning") is None:
        if config.search.get("parameters"):
            raise InvalidInput("search.parameters are settings of a fine-tuning: give search=joint, or drop them")
        return
    searched_keys(config)
    check_count(config.search.tuning.zero_shot)


def tuning_of(config: DictConfig, run: RunFolder, trained: Trained) -> Tuning | None:
    """Returns the fine-tuning that a configuration asks for, None where it asks for none.

    Raises:
        InvalidInput: a setting that cannot be used.
    """
    if config.search.get("tuning") is None:
        return None
    keys, search = searched_keys(config), plain(config, "search")["search"]
    asked = search["tuning"]
    calibration = trained.data.calibration(positive("search.calibration_images", search["calibration_images"]))
    weights = StartWeights(trained, run.cache, rewind=float(asked["rewind"]), calibration=calibration)
    cache = TunedCache(run.cache / f"{trained.digest}-tuned.jsonl")
    unresolved = OmegaConf.masked_copy(config, ["search", "seed", *GROUPS])
    tuner = Tuner(trained, unresolved, keys, weights, cache, calibration)

    def tune(candidate: Candidate, gate: Gate) -> Evaluation:
        with evaluating(run, WAITS):
            return tuner(candidate, gate)

    fidelities = Fidelities(
        tune=tune,
        rungs=tuple(asked["rungs"]),
        keep=float(asked["keep"]),
        least=positive("search.tuning.least", asked["least"]),
        pruner=_pruner(asked["pruner"]),
    )
    return Tuning(keys, tuner, fidelities, positive("search.tuning.finalist_epochs", asked["finalist_epochs"]))


def tuning_decides(config: DictConfig) -> dict[str, Any]:
    """Returns the groups that decide a search with fine-tuning, none of them for one without."""
    return plain(config, *GROUPS) if config.search.get("tuning") is not None else {}


def sent(tuning: Tuning | None, config: DictConfig) -> dict[str, Any] | None:
    """Returns the configuration as it can be sent to a worker, which makes the fine-tuning again; None without one."""
    plain_config: Any = OmegaConf.to_container(config, resolve=False)
    return None if tuning is None else dict(plain_config)


def space_with(tuning: Tuning | None, space: Any) -> CandidateSpace:
    """Returns the space of the candidates: Archs, and the parameters of a fine-tuning."""
    return CandidateSpace(space, tuning.keys.parameters if tuning else ())


def figures_with(
    tuning: Tuning | None, config: DictConfig | None, trained: Trained, figures: Figures
) -> CandidateFigures:
    """Returns the free figures of candidates: a fine-tuning that prunes needs fewer bytes."""
    if tuning is None or config is None:
        return of_candidates(figures)
    prune: Mapping[str, Any] = plain(config, "prune")["prune"]
    sparsities = sparsities_of(tuning.keys, prune)
    return sparse_figures(trained.supernet, figures, sparsities, keep=tuple(prune["keep"]))


def _pruner(config: Mapping[str, Any] | None) -> BasePruner | None:
    """One of Optuna's pruners, or a user's."""
    if config is None:
        return None
    pruner = make(config)
    if not isinstance(pruner, BasePruner):
        raise InvalidInput(f"search.tuning.pruner made a {type(pruner).__name__}; it must be a pruner of Optuna")
    return pruner
