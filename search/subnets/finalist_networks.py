"""The networks of finalists: coded to count their bytes on disk, and judged in int8 where a device computes so."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

from msgspec import structs
from torch import nn

import ofa
from ofa.arch import Arch
from ofa.checkpoint import weights
from ofa.identity import digest_of
from ofa.task import paired_difference
from search.candidates.coded_bytes import file_bytes
from search.candidates.figures import INT8_SIZES, is_int8
from search.candidates.metric_limits import meets_metrics, metric_limits_text
from search.candidates.mixtures import layers_of
from search.candidates.search_files import Finalist, MeasuredTrial, TrialRow
from search.candidates.space import Candidate
from search.config.rules import CalibrationExamples
from search.device.devices import SearchDevice
from search.device.flat import first_shape
from search.device.quantization import INT8, peak_bytes
from search.networks.compressed_file import ofaz_card
from search.networks.network_files import plain
from search.networks.quantized_network import arrays_by_name, in_bits, judged_in_bits, runs_int8
from search.objects import make
from search.run.cards import Rebuild
from search.run.locks import WAITS, evaluating
from search.run.paths import SearchFolder
from search.run.progress import say, stage_progress
from search.run.scores import with_first
from search.study.plan import SearchPlan
from search.subnets.extract import load_refined
from search.subnets.finalists import FileBytes, best_judged_anew, contenders
from search.subnets.measured_finalists import Bench
from search.subnets.refined import find_refined
from search.text import limits_text
from search.training.trained import Trained


def in_int8(devices: Sequence[SearchDevice]) -> list[str]:
    """Returns the names of the devices that compute in int8."""
    return [device.profile.name for device in devices if runs_int8(device.profile)]


def quantized_finalists(
    finalists: Sequence[Finalist],
    measured: Mapping[Arch, Mapping[str, float]],
    rows: Sequence[TrialRow],
    plan: SearchPlan,
    bench: Bench,
    calibration_images: CalibrationExamples,
) -> list[Finalist]:
    """Returns the finalists with their scores in int8, each the candidate whose objective is best as it will compute.

    In int8 are all on a device that computes so, otherwise those whose setting says it. Candidates are those that were
    measured within the limits, at most `search.finalists.candidates`; where finalists were fine-tuned, the chosen ones
    alone.

    Args:
        finalists: the choice before.
        measured: ms by figure of every Arch that was measured.
        rows: the trials.
        calibration_images: training images that norm statistics and scales come from.
    """
    valid = [row for row in rows if row.scores and meets_metrics(row.scores, plan.metric_limits, plan.metrics)]
    top = bench.settings.candidates
    tried = [
        [finalist.chosen]
        if finalist.chosen.tuned is not None
        else contenders(valid, finalist.target, measured, plan.metric, top, bench.file_bytes)
        for finalist in finalists
    ]
    every = limits_int8(plan) or any(
        device.figure in plan.latencies and runs_int8(device.profile) for device in bench.devices
    )
    distinct = {_key(trial): trial for trials in tried for trial in trials if every or is_int8(trial.settings)}
    judged, images = dict[str, MeasuredTrial](), bench.trained.calibration(calibration_images)
    with stage_progress("quantize") as update, evaluating(bench.run, WAITS):
        for number, (key, trial) in enumerate(distinct.items()):
            judged[key] = _judged(trial, images, plan, bench)
            update(number + 1, len(distinct), f"trial {trial.trial}")
    return [
        _best(finalist, [judged.get(_key(trial), trial) for trial in trials], plan)
        for finalist, trials in zip(finalists, tried, strict=True)
    ]


def limits_int8(plan: SearchPlan) -> bool:
    """Whether sizes in int8 are limited or optimized."""
    limited = {name for target in plan.limits.targets for name in target}
    return not limited.union(plan.objectives).isdisjoint(INT8_SIZES)


def _key(trial: MeasuredTrial) -> str:
    return f"{trial.trial} {trial.tuned}"


def _judged(trial: MeasuredTrial, images: Any, plan: SearchPlan, bench: Bench) -> MeasuredTrial:
    trained, net = bench.trained, _network(trial, images, bench.trained, bench.files)
    low = in_bits(net, ofa.resized(images, trial.arch), INT8, layers=layers_of(bench.groups, trial.settings))
    before, after = judged_in_bits(net, low, ofa.resized(trained.data, trial.arch), trained.task, "validation")
    example = arrays_by_name(net, next(ofa.resized(trained.data, trial.arch).test.in_order(1))[0])
    return structs.replace(
        trial,
        int8_sizes=dict(zip(INT8_SIZES, (len(low.model), peak_bytes(low.model, example)), strict=True)),
        int8=with_first(after.scores, plan.metric.name),
        int8_gain=paired_difference(after, before) if after.objective == plan.metric.name else None,
    )


def counted_bytes(trained: Trained, files: SearchFolder, calibration_images: CalibrationExamples) -> FileBytes:
    """Returns what counts the bytes of a candidate's coded file, with its card, as `ofa compress` would write it.

    The file is of the candidate's weights as they are: `compress=code_only`, before its units are reordered.

    Args:
        files: of the search, with the weights of candidates that were fine-tuned.
    """
    images = cache(partial(trained.calibration, calibration_images))
    known = dict[tuple[int, str | None], int]()

    def count(trial: MeasuredTrial) -> int:
        key = trial.trial, trial.tuned
        if key not in known:
            net = _network(trial, images(), trained, files)
            # What masks removed may be -0, which is made +0 before `ofa compress` codes it, too.
            tensors = {name: tensor.masked_fill(tensor == 0, 0).contiguous() for name, tensor in weights(net).items()}
            known[key] = file_bytes(tensors, ofaz_card(_rebuild(trained), trial.arch, (), digest_of(net)))
        return known[key]

    return count


def _rebuild(trained: Trained) -> Rebuild:
    rules = plain(dataclasses.asdict(make(trained.config["space"])))
    shape = first_shape(trained.supernet.inputs)[1:]
    model = trained.config["model"]
    return Rebuild(
        model=None if model is None else plain(model),
        input_shape=shape,
        num_classes=trained.data.num_outputs,
        space_rules=rules,
    )


def _network(trial: MeasuredTrial, images: Any, trained: Trained, files: SearchFolder) -> nn.Module:
    """A candidate with the weights that it was chosen with."""
    folder = files.tuned(trial.tuned) if trial.tuned else None
    if trial.settings:
        folder = find_refined(Candidate(trial.arch, tuple(trial.settings.items())), files)
    if folder is not None:
        return load_refined(trial.arch, trained, folder)[0].to("cpu").float()
    net = ofa.calibrate(trained.supernet.extract(trial.arch), ofa.resized(images, trial.arch))
    return net.to("cpu").float().eval()


def _fits_in_int8(trial: MeasuredTrial, target: Mapping[str, float]) -> bool:
    """Whether a candidate's file keeps the limits on sizes in int8."""
    return all(size <= target.get(name, math.inf) for name, size in trial.int8_sizes.items())


def _best(finalist: Finalist, trials: Sequence[MeasuredTrial], plan: SearchPlan) -> Finalist:
    """The finalist with the candidate that is best in int8, of those that keep the limits on metrics there."""
    fitting = [trial for trial in trials if _fits_in_int8(trial, finalist.target)]
    if not fitting:
        say(f"search: warning: {limits_text(finalist.target)}: in int8 every candidate is larger")
    trials = fitting or trials
    scores = {trial.trial: trial.int8 or trial.scores for trial in trials}
    best, keeps = best_judged_anew(
        finalist, trials, lambda trial: scores[trial.trial], plan.ordered_metrics, plan.metric_limits
    )
    if not keeps:
        say(
            f"search: warning: {limits_text(finalist.target) or 'no limit'}: in int8 no candidate has "
            f"{metric_limits_text(plan.metric_limits, plan.metrics)} any more"
        )
    return best
