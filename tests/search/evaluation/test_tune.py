"""Fine-tuning a candidate: where it starts, what is removed, when it is given up, and that it is known afterwards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import ofa
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from search.candidates.space import Candidate, CandidateSpace
from search.device.devices import free_figures
from search.run.cards import Setting
from search.run.paths import RunFolder
from search.study.tuning import figures_with
from search.training.trained import Trained
from tests.search.evaluation.conftest import joint_request, made, tuned


def go_on(epoch: int, value: float) -> bool:
    return True


@pytest.mark.parametrize("sparsity", [0.0, 0.5, 0.9])
def test_the_sparsity_asked_for_is_there_and_bytes_were_foretold(
    run: RunFolder, trained: Trained, sparsity: float
) -> None:
    found = tuned(run, trained, {"sparsity": sparsity, "schedule_end": 0.5})
    assert found.density == pytest.approx(1 - sparsity, abs=0.002)
    assert found.model is not None
    for name, mask in found.masks.items():
        assert (dict(found.model.named_parameters())[name][~mask] == 0).all()
    assert [row.epoch for row in found.history] == [1, 2]
    figures = figures_with(made(run, trained), joint_request(), trained, free_figures(trained.supernet, {}))
    smallest = trained.supernet.space.smallest
    (foretold,) = figures([Candidate(smallest, (("sparsity", sparsity),))])["bytes"]
    assert foretold == pytest.approx(found.bytes, rel=0.01)


@pytest.mark.parametrize("settings", [{"start": "inherit"}, {"start": "rewind"}, {"start": "fresh"}])
def test_a_fine_tuning_is_a_function_of_its_settings(
    run: RunFolder, trained: Trained, settings: dict[str, Setting]
) -> None:
    first, second = (tuned(run, trained, settings) for _ in range(2))
    assert first.model is not None
    assert second.model is not None
    assert digest_of(first.model) == digest_of(second.model)
    assert first.scores == second.scores


def test_starts_differ_and_are_what_they_say(run: RunFolder, trained: Trained) -> None:
    weights = made(run, trained).tuner._weights
    arch = trained.supernet.space.largest
    nets = {start: weights.network(arch, start, None, 0) for start in ("inherit", "rewind", "fresh")}
    assert len({digest_of(net) for net in nets.values()}) == 3
    own = ofa.calibrate(trained.supernet.extract(arch), trained.data.calibration(64))
    assert digest_of(nets["inherit"]) == digest_of(own)
    assert list(run.cache.glob("rewound-*.safetensors"))

    def zeros(net: nn.Module, images: torch.Tensor, generator: torch.Generator) -> None:
        torch.nn.init.zeros_(next(net.parameters()))

    made_otherwise = weights.network(arch, "fresh", zeros, 0)
    assert digest_of(made_otherwise) != digest_of(nets["fresh"])


def test_a_gate_ends_it_and_nothing_is_kept_of_that(run: RunFolder, trained: Trained) -> None:
    tuner = made(run, trained, "seed=3").tuner
    space = CandidateSpace(trained.supernet.space, made(run, trained).keys.parameters)
    candidate = space.candidate(trained.supernet.space.smallest, {"sparsity": 0.3})
    asked: list[tuple[int, float]] = []

    def never(epoch: int, value: float) -> bool:
        asked.append((epoch, value))
        return False

    given_up = tuner(candidate, never)
    assert given_up.stopped_at == 1
    assert asked == [(1, given_up.score.value)]
    whole = tuner(candidate, go_on)
    assert (whole.stopped_at, whole.cached) == (None, False)
    known = tuner(candidate, go_on)
    assert (known.scores, known.figures, known.cached) == (whole.scores, whole.figures, True)
    assert tuner(candidate, never).stopped_at == 1  # a gate is asked for what is known as well


def test_teachers_regularizers_and_augmentation_have_their_part(run: RunFolder, trained: Trained) -> None:
    plain = tuned(run, trained, {"sparsity": 0.5})
    others = [
        tuned(run, trained, {"sparsity": 0.5, "distill": 0.9}),
        tuned(run, trained, {"sparsity": 0.5, "regularizer": "l2", "l2_strength": 0.01}),
        tuned(run, trained, {"sparsity": 0.5, "learning_rate": 0.1}),
        tuned(
            run,
            trained,
            {"sparsity": 0.5},
            "search.tuning.augment={_target_: ofa.data.augment.random_shift, _partial_: true, pixels: 2}",
        ),
    ]
    assert plain.model is not None
    digests = {digest_of(one.model) for one in [plain, *others] if one.model is not None}
    assert len(digests) == 5


@pytest.mark.parametrize("seed", range(3))
def test_any_candidate_of_the_shipped_space_can_be_tuned(run: RunFolder, trained: Trained, seed: int) -> None:
    tuning = made(run, trained)
    candidate = CandidateSpace(trained.supernet.space, tuning.keys.parameters).sample(np.random.default_rng(seed))
    evaluation = tuning.tuner(candidate, go_on)
    assert 0 <= evaluation.score.value <= 1
    assert evaluation.figures["bytes"] > 0


def test_settings_that_cannot_be_are_refused(run: RunFolder, trained: Trained) -> None:
    for override, named in (
        ("search.tuning.rewind=1.5", "search.tuning.rewind=1.5 must be a number, more than 0 and less than 1"),
        ("search.tuning.start=rewnd", "did you mean rewind"),
        ("search.tuning.rungs=[2,1]", "rungs=\\[2, 1\\] must be epochs, rising"),
        ("search.tuning.keep=0", "search.tuning.keep=0 must be a number, more than 0 and at most 1"),
        ("search.tuning.pruner={_target_: builtins.dict}", "made a dict; it must be a pruner of Optuna"),
    ):
        with pytest.raises(InvalidInput, match=named):
            made(run, trained, override)
    with pytest.raises(InvalidInput, match="prune/method=retrain"):
        tuned(run, trained, {}, "prune=lottery", "prune.sparsity=0.5")
