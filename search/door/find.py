"""`search.find`: the best subnets of a supernet in memory, within limits, measured on a device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ofa
from ofa.data import Dataset
from ofa.errors import InvalidInput
from search.config.read import converted
from search.config.request import plain
from search.config.search import SearchRequest
from search.device.devices import search_devices
from search.door.devices import AnyDevice, device_of
from search.door.findings import Findings
from search.door.in_memory import check_workers_can_load, trained_in
from search.door.inputs import check_data, check_supernet, one_line_errors, plain_values, sampler_config, split_limits
from search.report.trial_files import trial_files
from search.run.progress import progress_shown
from search.run.stored_inputs import show_data
from search.run.trust import packages_to_trust
from search.subnets.run_search import check_search, run_search

TEMPORARY_RUN = "find"


def find(
    supernet: ofa.Supernet,
    data: Dataset,
    limits: Mapping[str, Any] | None = None,
    *,
    device: AnyDevice = "onnxruntime",
    evaluations: int = 200,
    sampler: Any = "guided",
    objective: str | Sequence[str] = "pareto",
    seed: int = 0,
    run: str | None = None,
    outputs: Path | str = "outputs",
    study: str | None = None,
    workers: int = 1,
    force: bool = False,
    progress: bool = True,
    **options: Any,
) -> Findings:
    """Returns what a search comes to: the subnets of a trained supernet that are accurate and keep the limits.

    The trials are those of `ofa search` with the same settings and seed. The device is profiled first, unless the run
    has its profile; what is chosen is measured on it before it is named.

    Args:
        supernet: trained.
        data: subnets are calibrated on its training images and compared on its validation images.
        limits: by figure: "latency_ms" (in ms at batch 1; a number, several, or one by name of a profiled device),
            "macs", "params", "bytes" and "peak_activation_bytes". Where no latency is limited, the usual fractions of
            the largest subnet's are.
        device: as `search.profile` takes it.
        evaluations: subnets whose accuracy is measured; more than before continues a search.
        sampler: a name such as "nsga2", a mapping with `_target_`, or a function of `search.samplers`.
        objective: "pareto" (accuracy and latency), "accuracy", or names such as ["accuracy", "latency_ms", "params"].
        seed: the same seed gives the same trials.
        run: the run that keeps the search, `outputs/run/search/`. Killed and called again it resumes; complete, it is
            read. None: a temporary folder, which goes with the result.
        outputs: the folder of all runs.
        study: a name for this search beside others of the run.
        workers: processes that search at once; they need a run with the supernet, see `search.adopt`.
        force: whether it is searched anew.
        progress: whether it is shown.
        options: further keys of the group `search`, see conf/search/pareto.yaml, such as calibration_images=256 or
            finalists={"seconds": 5}.

    Raises:
        InvalidInput: anything that cannot be used, before anything long is begun: another kind of network or data, an
            unknown limit, device, sampler or option, limits that no subnet meets, or a run of another supernet, of
            other data or of another search of that name.
    """
    with progress_shown(progress), one_line_errors():
        check_supernet(supernet, "find")
        check_data(data, supernet, "find")
        latency_ms, figures = split_limits(limits)
        temporary = None if run is not None else TemporaryDirectory(prefix="ofa-find-")
        where = {"run": run or TEMPORARY_RUN, "outputs": str(outputs) if temporary is None else temporary.name}
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
                "search": {"evaluations": evaluations, "objective": objective, "limits": figures, **options},
            }
        )
        request = converted(values, SearchRequest)
        if run is None and (others := [name for name in request.device_names if name != request.device.name]):
            raise InvalidInput(
                f"limits name the device {others[0]!r}, and only {request.device.name!r} is profiled here: "
                f"give run=NAME of a run that has its profile"
            )
        check_workers_can_load(request.workers, request.folder)
        check_search(request)
        show_data(data, {"dataset": {"_target_": "memory"}})
        trained = trained_in(request.folder, supernet, data, request.search.calibration_images)
        request = converted({**values, "trust": list(packages_to_trust(trained.config))}, SearchRequest)
        devices = search_devices(request, trained, force=False, as_it_is=True)
        run_search(request, trained, devices, trial_files=trial_files)
    return Findings(trained, request, temporary)
