"""Fine-tuning a candidate in int8, or with some of its layers in it: trained, judged, counted; and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import ofa
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.precisions import int8_layers
from ofa.quantization import RANGE_EXAMPLES, simulated
from ofa.task import scores
from search.candidates.figures import in_int8
from search.candidates.space import Candidate, CandidateSpace
from search.config.search import SearchRequest
from search.device.devices import free_figures
from search.run.cards import Setting
from search.run.paths import RunFolder
from search.study.tuning import figures_with, limits_of
from search.training.trained import Trained
from tests.search.evaluation.conftest import PLAIN, QUICK, joint_request, made, tuned

INT8 = ["search=joint_int8", *(word for word in QUICK if word != "search=joint")]


def test_a_candidate_in_int8_is_trained_judged_and_counted_so(run: RunFolder, trained: Trained) -> None:
    halved: dict[str, Setting] = {"sparsity": 0.5, "schedule_end": 0.5}
    whole = tuned(run, trained, {**halved, "precision": "float32"}, *INT8)
    found = tuned(run, trained, {**halved, "precision": "int8"}, *INT8)
    assert found.model is not None and whole.model is not None
    assert digest_of(found.model) != digest_of(whole.model)
    data = trained.data
    rounded = simulated(found.model, data.calibration(RANGE_EXAMPLES))
    assert found.scores == scores(rounded, data.validation.in_order(), trained.task)
    assert found.bytes < 0.4 * whole.bytes
    # The figures are foretold for each precision, with the latency of its own kernels.
    profiles: dict[str, Any] = {"latency_ms": Kernels(8.0), in_int8("latency_ms"): Kernels(2.0)}
    tuning, request = made(run, trained, *INT8), joint_request(*INT8)
    figures = figures_with(tuning, request, trained, free_figures(trained.supernet, profiles))
    smallest = trained.supernet.space.smallest
    candidates = [
        Candidate(smallest, (("precision", name), ("sparsity", 0.5))) for name in ("float32", "int8", "float32")
    ]
    foretold = figures(candidates)
    assert list(foretold["latency_ms"]) == [8.0, 2.0, 8.0] and in_int8("latency_ms") not in foretold
    assert list(foretold["bytes"]) == pytest.approx([whole.bytes, found.bytes, whole.bytes], rel=0.01)


class Kernels:
    """A profile that takes as long for every network."""

    def __init__(self, ms: float) -> None:
        self.ms = ms

    def predict_archs(self, supernet: ofa.Supernet, archs: Sequence[ofa.Arch]) -> np.ndarray[Any, Any]:
        return np.full(len(archs), self.ms)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["search.int8_device=null"], "search.int8_device=onnxruntime_int8"),
        (["search.parameters.precision=null", "search.tuning.precision=int8"], "device=onnxruntime_int8"),
        (
            ["search.parameters.precision=null", "+search.parameters.numbers={sets: search.tuning.precision}"],
            "search.parameters.numbers: the parameter precision, and no other, sets search.tuning.precision",
        ),
    ],
)
def test_int8_without_its_kernels_or_under_another_name_is_refused(
    run: RunFolder, trained: Trained, overrides: list[str], said: str
) -> None:
    overrides = [word.replace("precision}", "precision, one_of: [float32, int8]}") for word in overrides]
    with pytest.raises(InvalidInput, match=said):
        made(run, trained, *INT8, *overrides)


STAGES = ["search=joint_int8_stages", *INT8[1:]]


def test_a_candidate_with_some_stages_in_int8_is_trained_judged_and_counted_so(
    run: RunFolder, trained: Trained
) -> None:
    halved: dict[str, Setting] = {"sparsity": 0.5, "schedule_end": 0.5}
    parts = ("stem", "stage_0", "stage_1", "stage_2", "classifier")
    choices = [(), ("stage_1",), parts]
    settings = [{**halved, **{f"precision_{part}": "int8" for part in chosen}} for chosen in choices]
    whole, found, every = (tuned(run, trained, each, *STAGES) for each in settings)
    assert whole.model is not None and found.model is not None and every.model is not None
    assert len({digest_of(each.model) for each in (whole, found, every) if each.model is not None}) == 3
    all_in_int8 = tuned(run, trained, {**halved, "precision": "int8"}, *INT8)
    assert all_in_int8.model is not None and digest_of(all_in_int8.model) == digest_of(every.model)
    assert (all_in_int8.scores, all_in_int8.bytes) == (every.scores, every.bytes)
    tuning, request = made(run, trained, *STAGES), joint_request(*STAGES)
    layers = int8_layers(tuning_groups(request), ("stage_1",))
    rounded = simulated(found.model, trained.data.calibration(RANGE_EXAMPLES), layers)
    assert found.scores == scores(rounded, trained.data.validation.in_order(), trained.task)
    assert every.bytes < found.bytes < whole.bytes
    figures = figures_with(tuning, request, trained, free_figures(trained.supernet, {}))
    space = CandidateSpace(trained.supernet.space, tuning.keys.parameters)
    foretold = figures([space.candidate(trained.supernet.space.smallest, {**PLAIN, **each}) for each in settings])
    # An estimate, since all layers rank together.
    assert list(foretold["bytes"]) == pytest.approx([whole.bytes, found.bytes, every.bytes], rel=0.03)


def tuning_groups(request: SearchRequest) -> dict[str, tuple[str, ...]]:
    assert request.search.tuning is not None
    return request.search.tuning.groups


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("search.int8_device=null", "search.int8_device=onnxruntime_int8"),
        ("search.tuning.precisions.stem.match=[stm]", "precisions.stem.match: 'stm' names no layer; did you mean stem"),
        (
            "search.tuning.precisions.stem.precision=int8",
            r"parameter, search.parameters.precision_stem.one_of=\[int8\]",
        ),
        (
            "search.parameters.precision_stem.sets=search.tuning.precisions.stage_0.precision",
            "search.parameters.precision_stem sets .*stage_0.precision: of a group of layers, the parameter",
        ),
        (
            "search.parameters.precision={sets: search.tuning.precision, one_of: [float32, int8]}",
            "search.parameters.precision is of the whole network, and groups have their own",
        ),
    ],
)
def test_groups_whose_precision_nothing_says_are_refused(
    run: RunFolder, trained: Trained, override: str, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        made(run, trained, *STAGES, override)


@dataclass(frozen=True)
class Device:
    """A device of a search whose latency model is off by a hundredth."""

    figure: str
    profile: Any


def test_the_margin_of_sums_of_parts_is_a_tenth_unless_it_is_given(trained: Trained) -> None:
    profile = SimpleNamespace(name="here", held_out_error=0.01)
    devices: Any = [Device("latency_ms", profile), Device(in_int8("latency_ms"), profile)]
    space, figures = trained.supernet.space, free_figures(trained.supernet, {})

    def margin(*words: str) -> Any:
        return limits_of(joint_request(*words, "latency_ms=4"), devices, space, figures).margin

    assert (margin(*INT8), margin(*STAGES), margin(*STAGES, "search.margin=0.02")) == (0.01, 0.1, 0.02)
