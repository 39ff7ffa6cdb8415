"""`ofa search`: the best subnets for a device and its limits, measured before they are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from omegaconf import DictConfig

import ofa
from ofa.arch import Arch
from ofa.paths import write_json
from search.app.build import make_partial, plain, positive, run_folder
from search.app.profile import check_device, make_device, profile_stage, show_measuring
from search.device import Profile
from search.evaluate import Evaluator
from search.finalists import Finalist, choose_finalists
from search.latency_limits import check_fractions, check_latency, fraction_limits, search_name
from search.limits import Figures, Limits, smallest_reachable
from search.measure import MeasuredArch, measure_archs
from search.paths import RunFolder, SearchFolder
from search.plan import SearchPlan
from search.progress import say, stage_progress
from search.report.numbers import ms_text, percent_text
from search.stages import Stage, is_needed, written
from search.study import run_study
from search.trained import Trained, load_trained
from search.trials import TrialRow, trial_rows


def task(config: DictConfig) -> None:
    """Searches over the supernet of a run; profiles the device first where that is not done."""
    run = run_folder(config)
    check_search(config)
    trained = load_trained(run)
    profile = profile_stage(config, run, trained, force=False, as_it_is=True)
    search_stage(config, run, trained, profile)


def check_search(config: DictConfig) -> None:
    """Checks what can be wrong in a search before anything long is begun.

    Raises:
        InvalidInput: a limit, a count or a device that cannot be used.
    """
    asked = plain(config, "latency_ms", "search")
    check_latency(asked["latency_ms"])
    check_fractions(asked["search"]["latency_fractions"])
    positive("search.evaluations", asked["search"]["evaluations"])
    search_name(check_device(config), None, config.study)
    make_device(plain(config, "device")["device"])


def search_stage(config: DictConfig, run: RunFolder, trained: Trained, profile: Profile) -> bool:
    """Returns whether a search ran: False where it is complete. One cut off, or asked for more, goes on."""
    asked = plain(config, "search", "sampler", "latency_ms", "seed")
    settings = dict(asked["search"])
    evaluations = positive("search.evaluations", settings.pop("evaluations"))
    limits = check_latency(asked["latency_ms"])
    name = search_name(profile.name, limits, config.study)
    decides = {**asked, "search": settings, "latency_ms": limits and list(limits)}
    inputs = {"supernet": trained.digest, "profile": profile.digest}
    stage = Stage("search", run.search(name), decides, inputs, evaluations, beside="study=NAME for another search")
    force = bool(config.force)
    if not is_needed(stage, force=force):
        say(f"search: {stage.output} is there, nothing to do")
        return False
    figures = figures_of(trained.supernet, profile)
    margin = profile.held_out_error if settings["margin"] is None else float(settings["margin"])
    seed = int(asked["seed"])
    reach = limits or _default_limits(trained, figures, settings["latency_fractions"], margin, seed)
    targets = tuple({**settings["limits"], "latency_ms": limit} for limit in reach)
    plan = SearchPlan(
        name=name,
        space=trained.supernet.space,
        figures=figures,
        evaluate=_evaluator(trained, run, int(settings["calibration_images"])),
        evaluations=evaluations,
        limits=Limits(targets, margin),
        objective=settings["objective"],
        sampler=make_partial("sampler", asked["sampler"]),
        seed=seed,
        identity=inputs,
        refusals=int(settings["refusals"]),
        command=lambda trial: f"ofa extract run={run.name} study={name} trial={trial}",
    )
    with written(stage, force=force) as target:
        files = SearchFolder(target)
        with stage_progress("search") as update:

            def show(row: Mapping[str, Any]) -> None:
                if "accuracy" in row:
                    text = f"{percent_text(row['accuracy'])} at {ms_text(row['latency_ms'])}"
                    update(int(row["done"]), int(row["evaluations"]), text)

            result = run_study(plan, files.journal, show)
        rows = trial_rows(result.study)
        write_json(files.trials, [row.to_dict() for row in rows])
        if result.stopped:
            say(f"search: {result.stopped}")
        device = plain(config, "device")["device"]
        write_json(files.finalists, _finalists(trained, profile, device, settings["finalists"], rows, plan))
    return True


def figures_of(supernet: ofa.Supernet, profile: Profile) -> Figures:
    """Returns the function that gives the free figures of Archs: predicted ms, MACs, params and bytes."""

    def figures(archs: Sequence[Arch]) -> dict[str, Any]:
        costs = ofa.cost(supernet, archs)
        return {
            "latency_ms": profile.predict(costs),
            **{name: np.asarray(costs[name], dtype=np.float64) for name in ("macs", "params", "bytes")},
        }

    return figures


def _default_limits(trained: Trained, figures: Figures, fractions: Any, margin: float, seed: int) -> tuple[float, ...]:
    """Limits from the latency of the largest subnet, each one reachable with the margin kept."""
    space = trained.supernet.space
    largest = float(figures([space.largest])["latency_ms"][0])
    least, _ = smallest_reachable(space, figures, "latency_ms", seed=seed)
    return fraction_limits(check_fractions(fractions), largest, 1.02 * least / (1 - margin))


def _evaluator(trained: Trained, run: RunFolder, calibration_images: int) -> Evaluator:
    validation = trained.data.validation
    calibration = trained.data.calibration(positive("search.calibration_images", calibration_images))
    return Evaluator(trained.supernet, validation.images, validation.labels, calibration, cache=run.cache)


def _finalists(
    trained: Trained,
    profile: Profile,
    device: Mapping[str, Any],
    settings: Mapping[str, Any],
    rows: Sequence[TrialRow],
    plan: SearchPlan,
) -> dict[str, Any]:
    """Chooses a subnet a limit, by measurement, and returns what was found as JSON-able values."""
    measured: list[MeasuredArch] = []
    protocol = dict(settings)
    top = int(protocol.pop("candidates"))
    with stage_progress("measure") as update:

        def measure(archs: Sequence[Arch]) -> list[float]:
            found = measure_archs(
                trained.supernet,
                archs,
                make_device(device),
                profile=profile,
                progress=lambda row: show_measuring(row, update),
                **protocol,
            )
            measured.extend(found)
            return [one.ms for one in found]

        chosen = choose_finalists(rows, plan.limits.targets, measure, top=top)
    for finalist in chosen:
        say(f"search: {_finalist_text(finalist)}")
    space = trained.supernet.space
    largest_ms = float(np.median([one.ms / one.relative for one in measured]))
    return {
        "device": profile.name,
        "margin": plan.limits.margin,
        "finalists": [finalist.to_dict() for finalist in chosen],
        "largest": {
            "arch": space.largest.to_dict(),
            "predicted_ms": float(plan.figures([space.largest])["latency_ms"][0]),
            "measured_ms": largest_ms,
        },
        "measurement": {"verdict": measured[-1].verdict, "drift": measured[-1].drift},
    }


def _finalist_text(finalist: Finalist) -> str:
    chosen = finalist.chosen
    missed = f", after {len(finalist.missed)} that missed" if finalist.missed else ""
    return (
        f"limit {ms_text(finalist.limit_ms)}: {percent_text(chosen.accuracy)} on validation, "
        f"{ms_text(chosen.measured_ms)} measured ({ms_text(chosen.predicted_ms)} predicted){missed}"
    )
