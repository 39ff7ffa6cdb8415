"""A sparsity for each group of layers: bytes are foretold to the last one, whatever chooses the allocation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from msgspec.structs import replace

from ofa.checkpoint import weights
from ofa.compress import coded_sizes
from ofa.errors import InvalidInput
from search.candidates.space import Candidate, CandidateSpace
from search.config.searched_keys import searched_keys
from search.device.devices import free_figures
from search.evaluation.sparsities import sparsities_of
from search.run.cards import Setting
from search.run.paths import RunFolder
from search.study.tuning import figures_with
from search.training.trained import Trained
from tests.search.evaluation.conftest import joint_request, made

GROUPED = "search=joint_groups"


@pytest.mark.parametrize("schedule", ["one_shot", "cubic"])
def test_bytes_of_groups_are_foretold_exactly(run: RunFolder, trained: Trained, schedule: str) -> None:
    tuning = made(run, trained, GROUPED)
    space = CandidateSpace(trained.supernet.space, tuning.keys.parameters)
    arch = trained.supernet.space.sample(np.random.default_rng(1))
    asked: dict[str, Setting] = {"sparsity_stem": 0.3, "sparsity_stage_0": 0.97, "sparsity_stage_2": 0.51}
    asked |= {"schedule": schedule, "regularizer": "none", "distill": 0.0, "sparsity_classifier": 0.0}
    candidate = space.candidate(arch, asked)
    assert candidate.values["sparsity_stage_1"] == 0.8
    found = tuning.tuner.tune(candidate, tuning.tuner.settings(candidate))
    density = {name: mask.float().mean().item() for name, mask in found.masks.items()}
    assert density["classifier.weight"] == 1.0
    for prefix, sparsity in (("stem", 0.3), ("stages.0", 0.97), ("stages.1", 0.8), ("stages.2", 0.51)):
        these = [value for name, value in density.items() if name.startswith(prefix)]
        assert these == pytest.approx([1 - sparsity] * len(these), abs=0.02)
    figures = figures_with(tuning, joint_request(GROUPED), trained, free_figures(trained.supernet, {}))
    (foretold,) = figures([candidate])["bytes"]
    assert foretold == found.bytes
    needs = free_figures(trained.supernet, {}, {"bytes_on_disk"})
    (coded,) = figures_with(tuning, joint_request(GROUPED), trained, needs)([candidate])["bytes_on_disk"]
    tensors = {name: torch.where(tensor == 0, 0, tensor) for name, tensor in weights(found.model).items()}  # no -0
    assert coded == pytest.approx(coded_sizes(tensors).total, rel=0.1)
    assert coded < 0.8 * needs([arch])["bytes_on_disk"][0]


def test_a_setting_that_is_not_searched_is_that_of_the_configuration(trained: Trained) -> None:
    config = joint_request(
        GROUPED, "search.parameters.sparsity_stem=null", "prune.allocation.groups.stem.sparsity=0.25"
    )
    assert config.prune is not None
    sparsities = sparsities_of(searched_keys(config), config.prune)
    arch = trained.supernet.space.smallest
    candidates = [Candidate(arch), Candidate(arch, (("sparsity_stage_1", 0.1),))]
    weights = ["stem.conv.weight", "stages.1.0.conv1.weight", "classifier.weight", "elsewhere.weight"]
    expected = np.array([[0.25, 0.25], [0.8, 0.1], [0.8, 0.8], [0.9, 0.9]])
    np.testing.assert_array_equal(sparsities.of(candidates, weights), expected)


def test_groups_count_where_their_allocation_is_chosen(trained: Trained) -> None:
    config = joint_request(GROUPED)
    assert config.prune is not None and config.search.parameters is not None
    everywhere = {"_target_": "ofa.prune.allocation.global_", "_partial_": True}
    parameters = {
        **config.search.parameters,
        "allocation": {"sets": "prune.allocation", "one_of": {"all": everywhere, "grouped": config.prune.allocation}},
        "sparsity": {"sets": "prune.sparsity", "number": [0.0, 0.95]},
    }
    config = replace(config, search=replace(config.search, parameters=parameters), unresolved=None)
    sparsities = sparsities_of(searched_keys(config), config.prune)
    arch, own = trained.supernet.space.smallest, (("sparsity", 0.6), ("sparsity_stem", 0.2))
    candidates = [Candidate(arch, (("allocation", name), *own)) for name in ("all", "grouped")]
    np.testing.assert_array_equal(sparsities.of(candidates, ["stem.conv.weight"]), [[0.6, 0.2]])


def test_a_pattern_that_names_nothing_is_said_before_anything_runs(run: RunFolder, trained: Trained) -> None:
    config = joint_request(GROUPED, "prune.allocation.groups.stem.match=[stam.*]")
    tuning = made(run, trained, GROUPED)
    with pytest.raises(InvalidInput, match=r"groups.stem.match: the pattern 'stam.\*' names nothing"):
        figures_with(tuning, config, trained, free_figures(trained.supernet, {}))
