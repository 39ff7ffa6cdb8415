"""The verbs that make the stages of a run: `ofa profile`, `search`, `extract`, `compare`; and `ofa run`, all of it."""

from __future__ import annotations

import time

from search.app.launch import in_multirun
from search.app.messages import explain
from search.app.showing import report_stage
from search.app.tables import print_comparison, print_subnets
from search.app.training import train_stage
from search.config.request import part
from search.config.search import SearchRequest
from search.config.tuning import TrainRequest
from search.config.verbs import CompareRequest, ExtractRequest, ProfileRequest, RunRequest
from search.device.devices import profile_stage, search_devices
from search.device.remote.exchange import bundle_profile, import_result
from search.report.trial_files import trial_files
from search.run.contents import complete_searches, pick
from search.run.progress import duration, say
from search.subnets.compare_stage import compare_stage
from search.subnets.extract_stage import extract_stage, extract_trial
from search.subnets.run_search import check_search, run_search
from search.training.trained import load_trained


def run_task(request: RunRequest) -> None:
    """Runs all stages, then prints the results and their paths."""
    started = time.monotonic()
    run, force, waits = request.folder, request.force, in_multirun()
    search = part(request, SearchRequest)
    check_search(search)
    trained_now = train_stage(part(request, TrainRequest))
    trained = load_trained(run, request.trusted, show=not trained_now)
    devices = search_devices(search, trained, force=force)
    searched = run_search(search, trained, devices, trial_files=trial_files, waits=waits)
    extract = ExtractRequest(
        run=request.run, outputs=request.outputs, seed=request.seed, export=request.export, force=force
    )
    rows = extract_stage(extract, trained, search.name, force=force or searched, waits=waits)
    report = report_stage(run)
    say(f"done in {duration(time.monotonic() - started)}")
    print_subnets(rows, run.root)
    defaults = {"run": "main", "outputs": "outputs"}
    where = "".join(
        f" {key}={getattr(request, key)}" for key, value in defaults.items() if getattr(request, key) != value
    )
    print(f"report     {report.resolve()}")
    print(f"dashboard  ofa dashboard{where}")


def profile_task(request: ProfileRequest) -> None:
    """Profiles one device for the supernet of a run, or exchanges the bundle and result of a remote device."""
    run, device = request.folder, request.device
    trained = load_trained(run, request.trusted)
    if request.bundle_path is not None:
        bundle_profile(device, run, trained, request.bundle_path)
    elif request.result_path is not None:
        import_result(device, run, trained, request.result_path, force=request.force)
    else:
        profile_stage(device, run, trained.supernet, force=request.force, waits=in_multirun())


def search_task(request: SearchRequest) -> None:
    """Searches over the supernet of a run; profiles its device first if needed."""
    check_search(request)
    trained = load_trained(request.folder, request.trusted)
    devices = search_devices(request, trained, force=False, as_it_is=True)
    run_search(request, trained, devices, trial_files=trial_files, waits=in_multirun())


def extract_task(request: ExtractRequest) -> None:
    """Extracts the subnets that the searches of a run chose, or one trial of a search."""
    run, device = request.folder, None if request.device is None else request.device.name
    names = pick(complete_searches(run), run, device=device, study=request.study)
    trained = load_trained(run, request.trusted)
    for name in names:
        if request.trial is None:
            extract_stage(request, trained, name, force=request.force, waits=in_multirun())
        else:
            extract_trial(request, trained, name, request.trial)


def compare_task(request: CompareRequest) -> None:
    """Compares the subnets of a run's complete searches, and prints the result."""
    print_comparison(compare_stage(request, explain, waits=in_multirun()))
