"""CandidateSpace: the Archs of a Space with the parameters searched beside them; drawn, changed and encoded here."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.space import Space
from search.candidate import Candidate, Setting
from search.parameters import Parameter, check_parameters, is_active

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class CandidateSpace:
    """All candidates of a search: `archs` alone, or with `parameters`, each after those that it depends on."""

    archs: Space
    parameters: tuple[Parameter, ...] = ()

    def __post_init__(self) -> None:
        check_parameters(self.parameters)

    def candidate(self, arch: Arch, settings: Mapping[str, Setting] | None = None) -> Candidate:
        """Returns the canonical candidate: settings that do not count are dropped, missing ones are the default.

        Raises:
            InvalidArch: an Arch of another space.
            InvalidInput: an unknown parameter, or a value that it does not have.
        """
        self.archs.validate(arch)
        given = dict(settings or {})
        taken: dict[str, Setting] = {}
        for parameter in self.parameters:
            if is_active(parameter, taken):
                taken[parameter.name] = parameter.check(given.get(parameter.name, parameter.default))
        if unknown := given.keys() - {parameter.name for parameter in self.parameters}:
            raise InvalidInput(f"{', '.join(sorted(unknown))}: no parameter of this search")
        return Candidate(arch, tuple(taken.items()))

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
        """How many candidates there are; parameters that do not count everywhere are counted as if they did."""
        return float(np.prod([float(self.archs.size), *(parameter.count for parameter in self.parameters)]))

    def every(self) -> Iterator[Candidate]:
        """Returns an iterator over all candidates, each once: for spaces of a small `size`."""
        names = [parameter.name for parameter in self.parameters]
        values = list(itertools.product(*(parameter.every() for parameter in self.parameters)))
        for arch in self.archs.every():
            yield from dict.fromkeys(self.candidate(arch, dict(zip(names, row, strict=True))) for row in values)

    def sample(self, rng: np.random.Generator) -> Candidate:
        """Returns a candidate with everything that counts drawn uniformly."""
        return self.candidate(self.archs.sample(rng), self._drawn(rng))

    def mutate(self, candidate: Candidate, rng: np.random.Generator, probability: float = 0.1) -> Candidate:
        """Returns `candidate` with each choice redrawn and each setting changed with `probability`.

        Settings are few beside choices: each is changed so often that half of one changes on average, at least.
        """
        fresh, own = self._drawn(rng), candidate.values
        share = max(probability, 0.5 / max(len(self.parameters), 1))
        settings = {}
        for parameter in self.parameters:
            value = own.get(parameter.name, fresh[parameter.name])
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

        One-hot a choice, all 0 where a dropped block would have made it; settings as `encode` of their parameter.
        """
        codes = self.archs.encode([candidate.arch for candidate in candidates])
        columns = [
            (codes[:, [number]] == np.array(choice.values)[None, :]).astype(np.float64)
            for number, choice in enumerate(self.archs.choices)
            if len(choice.values) > 1
        ]
        for parameter in self.parameters:
            rows = [parameter.encode(candidate.values.get(parameter.name)) for candidate in candidates]
            columns.append(np.array(rows, dtype=np.float64).reshape(len(candidates), -1))
        return np.concatenate(columns, axis=1) if columns else np.zeros((len(candidates), 0))

    def to_dict(self) -> dict[str, Any]:
        """The choices and parameters as JSON-able values."""
        return {
            "archs": self.archs.to_dict(),
            "parameters": [{"kind": type(one).__name__, **vars(one)} for one in self.parameters],
        }

    @cached_property
    def digest(self) -> str:
        """16 hex digits: equal spaces have equal digests; without parameters that of the Archs' space."""
        if not self.parameters:
            return self.archs.digest
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:16]

    def _drawn(self, rng: np.random.Generator) -> dict[str, Setting]:
        return {parameter.name: parameter.sample(rng) for parameter in self.parameters}

    def at_level(self, level: float) -> Candidate:
        """Returns every choice at one level, 0 for its least value and 1 for its largest, with default settings."""
        choices = self.archs.choices
        return self.candidate(
            self.archs.arch({one.key: one.values[round(level * (len(one.values) - 1))] for one in choices})
        )
