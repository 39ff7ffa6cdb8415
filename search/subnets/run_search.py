"""A search as one stage of a run: its study, its best candidates fine-tuned to the end, then its measured finalists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from ofa.errors import InvalidInput
from ofa.records import content_of, read_record, write_record
from ofa.task import Task
from search.candidates.feasible import check_reachable
from search.candidates.figures import BYTES_ON_DISK, LATENCY, objective_metric, objective_names
from search.candidates.metric_limits import metric_limits
from search.candidates.search_files import Trials
from search.candidates.space import Candidate
from search.candidates.trials import trial_rows
from search.config.read import checked
from search.config.search import SearchRequest
from search.config.searched_keys import searched_keys
from search.device.devices import SearchDevice, as_begun, check_devices
from search.engine import alone
from search.evaluation.supernet import Evaluator
from search.run.locks import claimed
from search.run.paths import SearchFolder
from search.run.progress import say
from search.run.scores import metrics_of
from search.run.stages import Stage, read_stamp, stamped_inputs, written
from search.samplers.sampler_of import is_seeded, sampler_of
from search.study.database import Place
from search.study.make_plan import engine_of, make_plan, plan_inputs, search_study
from search.study.plan import TrialFiles, digest_of_candidates
from search.study.precisions import groups_of
from search.study.tuning import tuning_of
from search.study.warm_start import keep_warm_start, warm_candidates
from search.subnets.extract import refined_rows
from search.subnets.finalist_networks import counted_bytes, in_int8, limits_int8, quantized_finalists
from search.subnets.finetune import own_parts
from search.subnets.measured_finalists import Bench, Refine, find_finalists
from search.subnets.mixed_finalists import check_measurable
from search.subnets.tuned_finalists import final_tuning, tuned_finalists
from search.training.judging import in_split
from search.training.loggers import log_rows, loggers_of
from search.training.settings import check_computing
from search.training.teachers import check_distillation
from search.training.trained import Trained

STUDY = "study"  # the name of a study in a database, among the inputs of its search


def check_search(request: SearchRequest) -> None:
    """Validates what depends on more than the request itself, before any long step.

    Raises:
        InvalidInput: an earlier search, searched keys, fine-tuning, an engine, a device or a sampler that is unusable.
    """
    warm_candidates(request)
    if request.search.tuning is not None:
        searched_keys(request)
        if request.dense is not None:
            check_computing("search", "dense", request.dense)
    if request.finetune is not None:
        own_parts(request.finetune)
        check_computing("search", "finetune", request.finetune)
    engine_of(request)
    check_devices(request)
    sampler_of(request.sampler)
    if not is_seeded(request.sampler):
        say(f"search: {request.sampler['_target_']} takes no seed: the same command proposes other candidates")


def check_metrics(request: SearchRequest, task: Task) -> None:
    """Checks that a search optimizes and limits metrics that its task has, and fine-tunes by what it can.

    Raises:
        InvalidInput: an unknown metric, a limit against its direction, or a distillation that the task does not know.
    """
    if request.finetune is not None:
        check_distillation(task, request.finetune.distill, "finetune.distill")
    metrics = metrics_of(task)
    objective_metric(objective_names(request.search.objective, request.latency_figures), metrics)
    metric_limits(request.search.metric_limits, metrics)


def check_evaluation(request: SearchRequest, trained: Trained) -> Callable[[], None]:
    """Returns what keeps the score of the smallest subnet for the search, once that has nothing else to be refused for.

    It is evaluated on the whole validation split, before a device is profiled, whatever is in the cache, since data may
    have broken since then. A search that is complete evaluates nothing, and is not tried.

    Raises:
        InvalidInput: an example that cannot be read or does not fit, a loader that ends early, or a metric that is not
            a finite number.
    """
    stamp = None if request.force else read_stamp(request.folder.search(request.name))
    if stamp is not None and stamp.complete and stamp.amount >= request.search.evaluations:
        return lambda: None
    images, cache = trained.calibration_source(request.search.calibration_images), request.folder.cache
    evaluator = Evaluator(trained.supernet, trained.data, trained.task, images, cache=cache)
    with in_split("validation"):
        measured = evaluator.evaluated_now(trained.supernet.space.smallest)
    return partial(evaluator.keep, trained.supernet.space.smallest, measured)


def run_search(
    request: SearchRequest,
    trained: Trained,
    devices: Sequence[SearchDevice],
    *,
    trial_files: TrialFiles | None = None,
    waits: bool = False,
) -> bool:
    """Returns whether a search ran: False if it is complete. An interrupted or extended search resumes.

    The results are in the run's folder `request.folder.search(request.name)`: trials.json, finalists.json and the
    study.

    Args:
        request: validated again, since it may have been made in Python.
        devices: the devices with their profiles, as `search_devices` returns them.
        trial_files: makes the files of a trial for the dashboard; None writes none.
        waits: whether to wait for another process on the same search, and use its result.

    Raises:
        InvalidInput: a key that cannot be used, a limit that no subnet meets, or another search of that name.
    """
    request = checked(request)
    loggers = loggers_of(request.logger, request.folder)
    run, name = request.folder, request.name
    warm = warm_candidates(request)
    identity = _digests(trained, devices)
    stage = _stage(request, identity, warm)
    with claimed(stage, force=request.force, waits=waits) as needed:
        if not needed:
            say(f"search: {stage.output} is there, nothing to do{_more(SearchFolder(stage.output))}")
            return False
        devices = devices if request.force else as_begun(SearchFolder(stage.output), devices)
        tuning, final = tuning_of(request, trained), final_tuning(request, trained)
        study = name if request.storage is None else stage.inputs[STUDY]
        inputs = plan_inputs(request, trained, devices, identity, study, warm)
        plan = make_plan(inputs, trained, tuning)
        check_measurable(devices, groups_of(request))
        # Checked before writing: an impossible search leaves no files.
        check_reachable(plan.space, plan.figures, plan.limits, seed=plan.seed)
        with written(stage, force=request.force) as target:
            files = SearchFolder(target)
            for device in devices:
                device.profile.write(files.profile(device.profile.name))
            keep_warm_start(files, warm, len(plan.warm))
            artifacts = files.artifacts if request.search.artifacts else None
            plan = replace(plan, artifacts=artifacts, trial_files=trial_files)
            result = search_study(
                replace(inputs, artifacts=artifacts, trial_files=trial_files),
                plan,
                Place(files.journal, request.storage),
                trained,
                logged := loggers(f"search/{name}"),
            )
            for logger in logged:
                logger.close()
            rows = trial_rows(result.study)
            content = Trials(metrics=plan.ordered_metrics, rows=tuple(rows), ended=result.stopped)
            write_record(files.trials, content)
            if result.stopped:
                say(f"search: {result.stopped}")
            counted = counted_bytes(trained, files, request.search.calibration_images)
            file_bytes = counted if BYTES_ON_DISK in inputs.figures else None
            hold = partial(alone, engine_of(request))
            groups = groups_of(request)
            bench = Bench(run, trained, files, devices, request.search.finalists, file_bytes, hold, groups)
            if tuning is not None:
                rows = refined_rows(rows, plan, tuning, bench)
            refinements: list[Refine] = []
            if final is not None:
                refinements.append(
                    partial(
                        tuned_finalists,
                        rows=rows,
                        plan=plan,
                        bench=bench,
                        tuning=final,
                        loggers=lambda part: loggers(f"search/{name}/tuned/{part}"),
                    )
                )
            if in_int8(devices) or limits_int8(plan):
                images = request.search.calibration_images
                refinements.append(
                    partial(quantized_finalists, rows=rows, plan=plan, bench=bench, calibration_images=images)
                )
            finalists = find_finalists(rows, plan, bench, refinements)
            write_record(files.finalists, finalists if tuning is None else tuning.with_digests(finalists))
            log_rows(loggers(f"search/{name}/finalists"), map(content_of, finalists.finalists))
            for device in devices:
                files.to_measure(device.figure).unlink(missing_ok=True)
    return True


def _more(files: SearchFolder) -> str:
    """How a complete search that ended early goes on, in words; empty where it did not."""
    try:
        ended = read_record(files.trials, Trials).ended
    except (InvalidInput, OSError):  # damaged or gone: later verbs say so
        return ""
    return f" ({ended}; more search.evaluations than before go on)" if ended else ""


def _stage(request: SearchRequest, identity: Mapping[str, str], warm: Sequence[Candidate]) -> Stage:
    """The stage of a search: its inputs and its requested evaluations."""
    run, name, inputs = request.folder, request.name, dict(identity)
    if warm:
        inputs["warm_start"] = digest_of_candidates(warm)
    if request.storage is not None:  # a database holds the studies of all runs; the name stays if a run is renamed
        inputs[STUDY] = stamped_inputs(run.search(name)).get(STUDY, f"{run.name}/{name}")
    beside = "study=NAME for another search"
    return Stage("search", run.search(name), request.decides, inputs, request.search.evaluations, beside=beside)


def _digests(trained: Trained, devices: Sequence[SearchDevice]) -> dict[str, str]:
    """The digests of the supernet and of every profile, named "profile", with @ and the device if there are several."""
    digests = {device.figure.replace(LATENCY, "profile", 1): device.profile.digest for device in devices}
    return {"supernet": trained.digest, **digests}
