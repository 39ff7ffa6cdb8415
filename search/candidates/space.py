"""Candidate, its Evaluation, and CandidateSpace: Archs with the parameters searched besides them."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import AtLeastOne, Fraction, Part
from ofa.space import Space
from ofa.task import Score
from search.candidates.parameters import Parameter, check_parameters, is_active
from search.run.cards import Setting
from search.run.scores import Values, first


@dataclass(frozen=True)
class Candidate:
    """An Arch with a value for each active parameter; there are no parameters in a search over Archs alone.

    Settings are canonical: in the order of their parameters, without inactive ones. Equal candidates are
    therefore equal objects.
    """

    arch: Arch
    settings: tuple[tuple[str, Setting], ...] = ()

    @cached_property
    def values(self) -> Mapping[str, Setting]:
        """The settings by name."""
        return dict(self.settings)

    @cached_property
    def key(self) -> str:
        """The candidate as text; without settings, the JSON of its Arch."""
        return f"{self.arch.to_json()}{json.dumps(dict(self.settings)) if self.settings else ''}"

    @cached_property
    def digest(self) -> str:
        """16 hex digits of the key."""
        return hashlib.sha256(self.key.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The Arch and the settings as JSON-able values."""
        return {"arch": self.arch.to_dict(), "settings": dict(self.settings)}

    @classmethod
    def from_dict(cls, value: Any) -> Candidate:
        """Returns the Candidate that `to_dict` wrote.

        Raises:
            InvalidInput: the value is not such an object.
        """
        if not isinstance(value, Mapping) or not isinstance(value.get("settings", {}), Mapping):
            raise InvalidInput(f"a candidate must be an object with arch and settings, not {value!r:.60}")
        settings = value.get("settings", {})
        for name, setting in settings.items():
            if not isinstance(setting, bool | int | float | str):
                raise InvalidInput(f"setting {name} = {setting!r} must be a number, a text, true or false")
        return cls(Arch.from_dict(value.get("arch")), tuple(settings.items()))


class TuningEpoch(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One epoch of a candidate's fine-tuning.

    Attributes:
        loss: mean over the epoch.
        value: of the objective on validation after the epoch.
        density: fraction of the weights that are kept after the epoch.
    """

    epoch: AtLeastOne
    loss: float | None = None
    value: float
    density: Fraction | None = None


@dataclass(frozen=True)
class Evaluation:
    """What a candidate's evaluation found, the seconds it took, and whether it was cached.

    Attributes:
        scores: on validation by metric, the objective first.
        figures: figures by name that the evaluation measured, in place of predicted ones.
        history: the epochs of its fine-tuning.
        stopped_at: the epoch after which it was stopped early; None where it was evaluated to the end.
    """

    scores: Values
    seconds: float
    cached: bool = False
    figures: Mapping[str, float] = field(default_factory=dict)
    history: tuple[TuningEpoch, ...] = ()
    stopped_at: int | None = None

    @property
    def score(self) -> Score:
        """The score of the objective."""
        return first(self.scores)


Evaluate = Callable[[Candidate], Evaluation]
# Decides after an epoch, from the objective on validation, whether an evaluation goes on.
Gate = Callable[[int, float], bool]
Work = Callable[[Candidate, Gate], Evaluation]  # what an evaluator does


Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class CandidateSpace:
    """All candidates of a search: `archs` alone, or with `parameters`, each listed after those that it depends on."""

    archs: Space
    parameters: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        check_parameters(self.parameters)

    def candidate(self, arch: Arch, settings: Mapping[str, Setting] | None = None) -> Candidate:
        """Returns the canonical candidate: inactive settings are dropped, missing ones take their default.

        Raises:
            InvalidArch: an Arch of another space.
            InvalidInput: an unknown parameter, or a value that is not valid for it.
        """
        self.archs.validate(arch)
        requested = dict(settings or {})
        active: dict[str, Setting] = {}
        for parameter in self.parameters:
            if is_active(parameter, active):
                active[parameter.name] = parameter.check(requested.get(parameter.name, parameter.default))
        if unknown := requested.keys() - {parameter.name for parameter in self.parameters}:
            raise InvalidInput(f"{', '.join(sorted(unknown))}: no parameter of this search")
        return Candidate(arch, tuple(active.items()))

    @cached_property
    def largest(self) -> Candidate:
        """The whole supernet, with default settings."""
        return self.candidate(self.archs.largest)

    @cached_property
    def smallest(self) -> Candidate:
        """The smallest Arch, with default settings."""
        return self.candidate(self.archs.smallest)

    @property
    def size(self) -> float:
        """The number of candidates, inf over 1e308, an upper bound: conditional parameters count as always active."""
        try:
            archs = float(self.archs.size)
        except OverflowError:
            return math.inf
        return float(np.prod([archs, *(parameter.count for parameter in self.parameters)]))

    def every(self) -> Iterator[Candidate]:
        """Returns an iterator over all candidates, each once; for spaces of a small `size`."""
        names = [parameter.name for parameter in self.parameters]
        values = list(itertools.product(*(parameter.every() for parameter in self.parameters)))
        for arch in self.archs.every():
            yield from dict.fromkeys(self.candidate(arch, dict(zip(names, row, strict=True))) for row in values)

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Returns a candidate with every active choice and setting drawn uniformly."""
        return self.candidate(self.archs.sample(rng), self._drawn(rng))

    def mutate(self, candidate: Candidate, rng: np.random.Generator, probability: float = 0.1) -> Candidate:
        """Returns `candidate` with each choice redrawn and each setting changed with `probability`.

        Settings are few compared to choices: their probability is raised until half a setting changes on average.
        """
        fresh, current = self._drawn(rng), candidate.values
        share = max(probability, 0.5 / max(len(self.parameters), 1))
        settings = {}
        for parameter in self.parameters:
            value = current.get(parameter.name, fresh[parameter.name])
            settings[parameter.name] = parameter.mutate(value, rng) if rng.random() < share else value
        return self.candidate(self.archs.mutate(candidate.arch, rng, probability), settings)

    def crossover(self, first: Candidate, second: Candidate, rng: np.random.Generator) -> Candidate:
        """Returns a child that takes each choice and each setting from either parent."""
        settings = self._drawn(rng)
        for parameter in self.parameters:
            mother, father = (first, second) if rng.random() < 0.5 else (second, first)
            fallback = father.values.get(parameter.name, settings[parameter.name])
            settings[parameter.name] = mother.values.get(parameter.name, fallback)
        return self.candidate(self.archs.crossover(first.arch, second.arch, rng), settings)

    def features(self, candidates: Sequence[Candidate]) -> Floats:
        """Returns a float64 array (candidates, features), all from 0 to 1, for predictors.

        Choices are one-hot, all 0 for an inactive one; settings are encoded by `encode` of their parameter.
        """
        of_archs = self.one_hot(self.archs.encode([candidate.arch for candidate in candidates]))
        return np.concatenate([of_archs, self.features_of_settings(candidates)], axis=1)

    def one_hot(self, codes: np.ndarray[Any, np.dtype[np.int64]]) -> Floats:
        """Returns the features of Archs (archs, features) from their values, as `Space.encode` returns them."""
        filled = self.table >= 0
        open_values = filled & (filled.sum(axis=1, keepdims=True) > 1)
        return np.asarray((codes[:, :, None] == self.table)[:, open_values], dtype=np.float64)

    def features_of_settings(self, candidates: Sequence[Candidate]) -> Floats:
        """Returns the features of the settings of candidates, (candidates, features)."""
        rows = [
            [number for parameter in self.parameters for number in parameter.encode(each.values.get(parameter.name))]
            for each in candidates
        ]
        return np.reshape(rows, (len(candidates), sum(len(parameter.encode(None)) for parameter in self.parameters)))

    @cached_property
    def table(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The values of each choice, (choices, most values of one), and -2 where it has fewer."""
        most = max((len(choice.values) for choice in self.archs.choices), default=1)
        rows = [[*choice.values, *[-2] * (most - len(choice.values))] for choice in self.archs.choices]
        return np.array(rows, dtype=np.int64).reshape(len(rows), most)

    def to_dict(self) -> dict[str, Any]:
        """The choices and parameters as JSON-able values."""
        return {
            "archs": self.archs.to_dict(),
            "parameters": [{"kind": type(parameter).__name__, **vars(parameter)} for parameter in self.parameters],
        }

    @cached_property
    def digest(self) -> str:
        """16 hex digits: equal spaces have equal digests; without parameters, the digest of the Archs' space."""
        if not self.parameters:
            return self.archs.digest
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:16]

    def _drawn(self, rng: np.random.Generator) -> dict[str, Setting]:
        return {parameter.name: parameter.sample(rng) for parameter in self.parameters}

    def at_level(self, level: float) -> Candidate:
        """Returns the candidate with every choice at one level, 0 its least value to 1 its largest, and defaults."""
        choices = self.archs.choices
        return self.candidate(
            self.archs.arch({choice.key: choice.values[round(level * (len(choice.values) - 1))] for choice in choices})
        )
