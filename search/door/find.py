"""`search.find` and `search.profile`: the best subnets of a supernet in memory, and how quick they are on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.task import Task
from search.config.read import converted
from search.config.request import Request, plain
from search.config.search import SearchRequest
from search.device.devices import made_runtime, profile_stage, say_profile, search_devices, show_measuring
from search.device.profile import Profile
from search.device.profile_device import profile_device
from search.door.adopt import task_of, trained_in
from search.door.findings import Findings
from search.door.inputs import (
    AnyDevice,
    check_data,
    check_supernet,
    device_of,
    finetune_config,
    one_line_errors,
    plain_values,
    sampler_config,
    split_limits,
)
from search.report.trial_files import trial_files
from search.run.paths import RunFolder
from search.run.progress import progress_shown, stage_progress
from search.run.stages import is_complete
from search.run.stored_inputs import show_data
from search.run.trust import packages_to_trust
from search.subnets.run_search import check_evaluation, check_metrics, check_search, run_search

TEMPORARY_RUN = "find"


def find(
    supernet: ofa.Supernet,
    data: Dataset,
    limits: Mapping[str, Any] | None = None,
    *,
    task: Task | None = None,
    device: AnyDevice = "onnxruntime",
    evaluations: int = 200,
    sampler: Any = "guided",
    objective: str | Sequence[str] = "pareto",
    seed: int = 0,
    run: str | None = None,
    outputs: Path | str = "outputs",
    study: str | None = None,
    finetune: str | Mapping[str, Any] | None = None,
    workers: int = 1,
    force: bool = False,
    progress: bool = True,
    **options: Any,
) -> Findings:
    """Returns what a search comes to: the best subnets of a trained supernet that keep the limits.

    The trials are those of `ofa search` with the same settings and seed. The device is profiled first, unless the run
    has its profile; what is chosen is measured on it before it is named.

    Args:
        supernet: trained.
        data: subnets are calibrated on its training images and compared on its validation images.
        limits: by figure: "latency_ms" (in ms at batch 1; a number, several, or one by name of a profiled device),
            "macs", "params", "bytes", "bytes_on_disk" and "peak_activation_bytes"; and by metric of the task, such as
            {"recall": ">= 0.9"}, which is looked at after an evaluation. Where no latency is limited, the usual
            fractions of the largest subnet's are.
        task: how subnets are called and judged; None: the run's, or classification of the data.
        device: as `search.profile` takes it.
        evaluations: subnets that are evaluated; more than before continues a search.
        sampler: a name such as "nsga2", a mapping with `_target_`, or a function of `search.samplers`.
        objective: "pareto" (the task's metric and latency), "metric", or names such as ["recall", "latency_ms"].
        seed: the same seed gives the same trials.
        run: the run that keeps the search, `outputs/run/search/`. Killed and called again it resumes; complete, it is
            read. None: a temporary folder, which goes with the result.
        outputs: the folder of all runs.
        study: a name for this search beside others of the run.
        finetune: how finalists are fine-tuned before one is chosen: a name of conf/finetune, such as "default", or its
            keys, such as {"epochs": 6}; None: they are not.
        workers: processes that search at once; they need a run with the supernet, see `search.adopt`.
        force: whether it is searched anew.
        progress: whether it is shown.
        options: further keys of the group `search`, see conf/search/pareto.yaml, such as calibration_images=256 or
            finalists={"seconds": 5}.

    Raises:
        InvalidInput: anything that cannot be used, before any long step: another kind of network or data, an
            unknown limit, device, sampler or option, limits that no subnet meets, or a run of another supernet, of
            other data or of another search of that name.
    """
    with progress_shown(progress), one_line_errors():
        check_supernet(supernet, "find")
        temporary = None if run is not None else TemporaryDirectory(prefix="ofa-find-")
        where = {"run": run or TEMPORARY_RUN, "outputs": str(outputs) if temporary is None else temporary.name}
        task = task or task_of(Request(run=where["run"], outputs=where["outputs"]).folder, data)
        check_data(data, supernet, "find", task)
        latency_ms, figures, of_metrics = split_limits(limits, task)
        of_search = {"evaluations": evaluations, "objective": objective, "limits": figures, "metric_limits": of_metrics}
        values = plain_values(
            {
                **where,
                "seed": seed,
                "force": force,
                "study": study,
                "workers": workers,
                "latency_ms": latency_ms,
                "device": plain(device_of(device)),
                "sampler": sampler_config(sampler),
                "finetune": finetune_config(finetune),
                "search": {**of_search, **options},
            }
        )
        request = converted(values, SearchRequest)
        if run is None and (others := [name for name in request.device_names if name != request.device.name]):
            raise InvalidInput(
                f"limits name the device {others[0]!r}, and only {request.device.name!r} is profiled here: "
                f"give run=NAME of a run that has its profile"
            )
        _check_workers_can_load(request.workers, request.folder)
        check_search(request)
        check_metrics(request, task)
        show_data(data, {"dataset": {"_target_": "memory"}})
        trained = trained_in(request.folder, supernet, data, task, request.search.calibration_images)
        request = converted({**values, "trust": list(packages_to_trust(trained.config))}, SearchRequest)
        # Without one, its ends were evaluated just now.
        keep = check_evaluation(request, trained) if is_complete(request.folder.supernet) else None
        devices = search_devices(request, trained, force=False, as_it_is=True)
        if keep is not None:
            keep()
        run_search(request, trained, devices, trial_files=trial_files)
    return Findings(trained, request, temporary)


def profile(
    supernet: ofa.Supernet,
    device: AnyDevice = "onnxruntime",
    *,
    run: str | None = None,
    outputs: Path | str = "outputs",
    force: bool = False,
    progress: bool = True,
) -> Profile:
    """Returns the profile of this machine: measured subnets, and a latency model fitted to them.

    `profile.predict_archs(supernet, archs)` gives ms (N,) at batch 1, and `profile.held_out_error` how far off they
    are, a fraction, on subnets left out of the fit. Weights do not matter: a supernet is profiled before or after its
    training.

    Args:
        supernet: with an example input of the images' shape.
        device: a name such as "onnxruntime", "eager" or "openvino", a mapping, a Device or a Runtime, see
            `search.door.inputs.device_of`; its `profile` says how long is measured (50 s at most by default).
        run: where the profile is kept, `outputs/run/profiles/`; a measurement that was cut off resumes there, and a
            complete one is read. None: it is not kept.
        outputs: the folder of all runs.
        force: whether it is measured again.
        progress: whether it is shown.

    Raises:
        InvalidInput: an unknown device, one that is another machine or whose runtime is not installed; a network that
            the runtime refuses; or a machine that is too busy to be measured.
    """
    with progress_shown(progress), one_line_errors():
        check_supernet(supernet, "profile")
        described = device_of(device)
        name = described.name
        if run is not None:
            return profile_stage(described, Request(run=run, outputs=str(outputs)).folder, supernet, force=force)
        if described.remote:
            raise InvalidInput(
                f"device={name!r} is another machine: adopt the supernet, search.adopt(supernet, data, run=NAME), and "
                f"profile it there, ofa profile device={name} run=NAME bundle={name}.zip"
            )
        with stage_progress("profile") as update:
            measured = profile_device(
                supernet,
                made_runtime(described.runtime),
                name=name,
                progress=lambda row: show_measuring(row, update),
                **plain(described.profile),
            )
        say_profile(measured)
    return measured


def _check_workers_can_load(workers: int, run: RunFolder) -> None:
    """Checks that processes beside this one can build the supernet again.

    Raises:
        InvalidInput: several workers, and a run without the supernet.
    """
    if workers > 1 and not is_complete(run.supernet):
        raise InvalidInput(
            f"workers={workers}: each builds the supernet again from {Path(run.supernet)}, which is not there: "
            f"search.adopt(supernet, data, run={run.name!r}) first"
        )
