"""`ofa search`: the best subnets for devices and limits, measured before they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from omegaconf import DictConfig

from ofa.errors import InvalidInput
from ofa.paths import write_json
from search.app.build import plain, positive, run_folder
from search.app.devices import SearchDevice, as_begun, check_devices, search_devices
from search.app.finalists import find_finalists
from search.app.learn import learn_from
from search.app.search_plan import AskedPlan, make_plan
from search.app.search_settings import SearchSettings, asked_storage, limits_of, search_settings, space_of
from search.app.to_measure import measured_elsewhere
from search.app.tuning import Tuning, check_tuning, sent, tuning_decides, tuning_of
from search.app.warm_start import COUNT, asked_warm_start, keep_warm_start, warm_start_names
from search.candidate import Candidate
from search.figures import LATENCY
from search.free_figures import free_figures
from search.locks import WAITS, evaluating
from search.measure import MeasuredArch
from search.paths import RunFolder, SearchFolder
from search.place import Place, check_workers
from search.plan import SearchPlan
from search.progress import say, stage_progress
from search.reach import check_reachable
from search.report.numbers import percent_text, times_text
from search.stages import Stage, is_needed, written
from search.study import SearchResult, run_study
from search.trained import Trained, load_trained
from search.trials import TrialRow, trial_rows
from search.tuning.refine import refined_rows
from search.warm_start import digest_of_candidates
from search.workers import run_workers


def task(config: DictConfig) -> None:
    """Searches over the supernet of a run; profiles the verb's own device first where that is not done."""
    run = run_folder(config)
    check_search(config, run)
    trained = load_trained(run)
    search_stage(config, run, trained, search_devices(config, run, trained, force=False, as_it_is=True))


def check_search(config: DictConfig, run: RunFolder) -> None:
    """Checks what can be wrong in a search before anything long is begun.

    Raises:
        InvalidInput: a limit, an objective, a count, a storage, a device or an earlier search that cannot be used.
    """
    asked_warm_start(config, run, search_settings(config).name)
    check_tuning(config)
    positive("search.evaluations", config.search.evaluations)
    place = Place(SearchFolder(run.search("any")).journal, asked_storage(config))
    check_workers(positive("workers", config.workers), place)
    check_devices(config, run)


def search_stage(config: DictConfig, run: RunFolder, trained: Trained, devices: Sequence[SearchDevice]) -> bool:
    """Returns whether a search ran: False where it is complete. One cut off, or asked for more, goes on."""
    settings = search_settings(config)
    inputs = {"supernet": trained.digest, **_profile_digests(devices)}
    warm = asked_warm_start(config, run, settings.name)
    stage = _stage(config, run, settings, inputs, warm)
    force = bool(config.force)
    if not is_needed(stage, force=force):
        say(f"search: {stage.output} is there, nothing to do")
        return False
    devices = devices if force else as_begun(SearchFolder(stage.output), devices)
    tuning = tuning_of(config, run, trained)
    asked = _asked_plan(config, run, trained, devices, settings, inputs)
    asked = replace(asked, config=sent(tuning, config), warm=warm)
    plan = make_plan(asked, trained, tuning)
    check_reachable(plan.space, plan.figures, plan.limits, seed=plan.seed)  # an impossible search leaves nothing behind
    with written(stage, force=force) as target:
        files = SearchFolder(target)
        for device in devices:
            device.profile.write(files.profile(device.profile.name))
        keep_warm_start(files, asked.warm, plan)
        shown = files.artifacts if config.search.get("artifacts", True) else None
        _learn_expected(plan)
        result = _studied(config, replace(asked, artifacts=shown), replace(plan, artifacts=shown), files)
        rows = trial_rows(result.study)
        write_json(files.trials, [row.to_dict() for row in rows])
        if result.stopped:
            say(f"search: {result.stopped}")

        def learn(device: SearchDevice, measured: Sequence[MeasuredArch]) -> None:
            learn_from(run, trained, device, measured)

        finalists = plain(config, "search")["search"]["finalists"]
        if tuning is not None:
            rows = _refined(run, rows, plan, tuning, trained, files, int(finalists["candidates"]))
        elsewhere = partial(measured_elsewhere, run, trained, files)
        found = find_finalists(run, trained, devices, finalists, rows, plan, learn, elsewhere)
        write_json(files.finalists, found if tuning is None else tuning.with_digests(found))
        for device in devices:
            files.to_measure(device.figure).unlink(missing_ok=True)
    return True


def _stage(
    config: DictConfig,
    run: RunFolder,
    settings: SearchSettings,
    inputs: Mapping[str, str],
    warm: Sequence[Candidate],
) -> Stage:
    """The stage of a search: what decides it, and how much is asked for."""
    asked, storage = plain(config, "search", "sampler", "seed"), asked_storage(config)
    options = dict(asked["search"])
    evaluations = positive("search.evaluations", options.pop("evaluations"))
    _switch("search.artifacts", options.pop("artifacts", True))  # changes no search
    options |= {"latency_fractions": options["latency_fractions"] or None}  # none is none, however written
    options |= {"warm_start": warm_start_names(config) or None}
    if warm:
        inputs = {**inputs, "warm_start": digest_of_candidates(warm)}
    else:
        options.pop(COUNT, None)  # decides nothing
    decides = {**asked, **tuning_decides(config), "search": options, "latency_ms": _plain_limits(settings)}
    decides |= {"storage": storage} if storage else {}
    beside = "study=NAME for another search"
    return Stage("search", run.search(settings.name), decides, inputs, evaluations, beside=beside)


def _asked_plan(
    config: DictConfig,
    run: RunFolder,
    trained: Trained,
    devices: Sequence[SearchDevice],
    settings: SearchSettings,
    inputs: Mapping[str, str],
) -> AskedPlan:
    """What a configuration asks for, in values that can be sent to a worker."""
    asked, storage = plain(config, "search", "sampler", "seed"), asked_storage(config)
    seed, space = int(asked["seed"]), space_of(settings, devices, trained.supernet.space)
    profiles = {device.figure: device.profile for device in devices}
    named = frozenset({*settings.limits, *settings.objectives})
    return AskedPlan(
        name=settings.name if storage is None else f"{run.name}/{settings.name}",  # a database has those of all runs
        study=settings.name,
        run=run,
        space=space,
        profiles=profiles,
        evaluations=int(asked["search"]["evaluations"]),
        limits=limits_of(settings, devices, space, free_figures(trained.supernet, profiles, named), seed),
        figures=named,
        latencies=settings.latencies,
        options=asked["search"],
        sampler=asked["sampler"],
        seed=seed,
        identity=inputs,
        threads=int(config.threads),
    )


def _learn_expected(plan: SearchPlan) -> None:
    """Evaluates the Archs that tell samplers where to look, before the first fine-tuning."""
    if plan.fidelities is None or plan.fidelities.expected is None:
        return
    with stage_progress("zero-shot") as update:

        def show(row: Mapping[str, Any]) -> None:
            if "accuracy" in row:
                update(int(row["done"]), int(row["evaluations"]), percent_text(row["accuracy"]))

        plan.fidelities.expected.learn(show)


def _studied(config: DictConfig, asked: AskedPlan, plan: SearchPlan, files: SearchFolder) -> SearchResult:
    """The study of a plan, searched by as many workers as were asked for, with progress shown."""
    with stage_progress("search") as update:

        def show(row: Mapping[str, Any]) -> None:
            if "accuracy" in row:
                times = times_text({figure: row[figure] for figure in plan.latencies})
                update(int(row["done"]), int(row["evaluations"]), f"{percent_text(row['accuracy'])} at {times}")
            elif row["state"] == "interrupted":
                say(f"search: {row['reason']}")

        place, workers = Place(files.journal, asked_storage(config)), positive("workers", config.workers)
        if workers == 1:
            return run_study(plan, place, show)
        return run_workers(plan, partial(make_plan, asked), workers, place, show)


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(f"{name}={value!r} must be true or false")
    return value


def _plain_limits(settings: SearchSettings) -> Any:
    """The latency limits as JSON has them."""
    latency = settings.latency
    return list(latency) if isinstance(latency, tuple) else latency


def _profile_digests(devices: Sequence[SearchDevice]) -> dict[str, str]:
    """Returns the digest of every profile by "profile", followed by @ and the device where several are named."""
    return {device.figure.replace(LATENCY, "profile", 1): device.profile.digest for device in devices}


def _refined(
    run: RunFolder,
    rows: Sequence[TrialRow],
    plan: SearchPlan,
    tuning: Tuning,
    trained: Trained,
    files: SearchFolder,
    top: int,
) -> list[TrialRow]:
    """The best candidates of each target, fine-tuned to the end."""
    with stage_progress("fine-tune") as update, evaluating(run, WAITS):
        return refined_rows(
            rows,
            plan.limits.targets,
            tuning.tuner,
            trained,
            files,
            latencies=plan.latencies,
            top=top,
            epochs=tuning.finalist_epochs,
            show=update,
        )
