"""The verbs that make the stages of a run, `ofa run` for all of them, and those that show what there is."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback

from ofa.errors import InvalidInput
from ofa.inspection import inspect
from ofa.paths import write_atomic
from ofa.records import write_record
from search.app.launch import in_multirun
from search.app.messages import explain
from search.app.tables import (
    print_comparison,
    print_compressed,
    print_finetuned,
    print_layers,
    print_subnets,
    print_sweep,
)
from search.app.training import train_stage
from search.candidates.search_files import SubnetList
from search.compression.compress_stage import compress_stage
from search.config.compressing import CompressRequest
from search.config.request import Request, part, plain, run_text
from search.config.search import SearchRequest
from search.config.tuning import TrainRequest
from search.config.verbs import (
    CompareRequest,
    DashboardRequest,
    ExtractRequest,
    FinetuneRequest,
    InspectRequest,
    ProfileRequest,
    RunRequest,
    StudioRequest,
)
from search.device.devices import profile_stage, search_devices
from search.device.remote.exchange import bundle_profile, import_result
from search.objects import build_data, supernet_of
from search.report.dashboard import address, make_dashboard
from search.report.gather import gather
from search.report.gather_sweep import gather_sweep
from search.report.latency_section import workload_of
from search.report.page import render
from search.report.sweep_page import render_sweep
from search.report.trial_files import trial_files
from search.run.contents import begun_searches, complete_profiles, pick, searches_to_use
from search.run.paths import RunFolder, SearchFolder
from search.run.progress import duration, say
from search.run.result_files import layers_of
from search.run.stages import stamped_config
from search.study.database import Place
from search.subnets.chosen import searches_for
from search.subnets.compare_stage import compare_stage
from search.subnets.extract_stage import extract_stage, extract_trial
from search.subnets.finetune_stage import finetune_stage
from search.subnets.run_search import check_evaluation, check_metrics, check_search, run_search
from search.training.starts import Beginning
from search.training.trained import load_trained


def run_task(request: RunRequest) -> None:
    """Runs all stages, then prints the results and their paths."""
    started = time.monotonic()
    run, force, waits = request.folder, request.force, in_multirun()
    search = part(request, SearchRequest)
    check_search(search)
    trained_now = train_stage(part(request, TrainRequest), partial(check_metrics, search))
    trained = load_trained(run, request.trusted, show=not trained_now)
    check_metrics(search, trained.task)
    # Right after a training its ends were evaluated just now, on the same data.
    keep = None if trained_now else check_evaluation(search, trained)
    devices = search_devices(search, trained, force=force)
    if keep is not None:
        keep()
    searched = run_search(search, trained, devices, trial_files=trial_files, waits=waits)
    extract = ExtractRequest(
        run=request.run, outputs=request.outputs, seed=request.seed, export=request.export, force=force
    )
    subnets = extract_stage(extract, trained, search.name, force=force or searched, waits=waits)
    report = report_stage(run)
    say(f"done in {duration(time.monotonic() - started)}")
    show_subnets(subnets, run)
    defaults, given = {"run": "main", "outputs": "outputs"}, {"run": request.run, "outputs": request.outputs}
    where = "".join(f" {key}={value}" for key, value in given.items() if value != defaults[key])
    print(f"report     {report.resolve()}")
    print(f"dashboard  ofa dashboard{where}")


def show_subnets(subnets: SubnetList, run: RunFolder) -> None:
    """Prints the table of the subnets that were extracted from one search."""
    print_subnets(subnets, run.root, workloads={device: workload_of(run, device) for device in complete_profiles(run)})


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
    check_metrics(request, trained.task)
    keep = check_evaluation(request, trained)
    devices = search_devices(request, trained, force=False, as_it_is=True)
    keep()
    run_search(request, trained, devices, trial_files=trial_files, waits=in_multirun())


def extract_task(request: ExtractRequest) -> None:
    """Extracts the subnets that the searches of a run chose, or one trial of a search."""
    run, device = request.folder, None if request.device is None else request.device.name
    names = searches_to_use(run, device=device, study=request.study)
    trained = load_trained(run, request.trusted)
    for name in names:
        if request.trial is None:
            show_subnets(extract_stage(request, trained, name, force=request.force, waits=in_multirun()), run)
        else:
            extract_trial(request, trained, name, request.trial)


def finetune_task(request: FinetuneRequest) -> None:
    """Fine-tunes the subnets that the searches of a run chose, and prints their scores before and after."""
    run, device = request.folder, None if request.device is None else request.device.name
    names = searches_for(searches_to_use(run, device=device, study=request.study), run, request.limit)
    trained = load_trained(run, request.trusted)
    for name in names:
        print_finetuned(finetune_stage(request, trained, name, force=request.force, waits=in_multirun()), run.root)


def compress_task(request: CompressRequest) -> None:
    """Compresses networks of a run, or one of another program, and prints bytes and scores after each stage."""
    for card in compress_stage(request, waits=in_multirun()):
        print_compressed(card, request.folder.compressed / card.name)


def compare_task(request: CompareRequest) -> None:
    """Compares the subnets of a run's complete searches, and prints the result."""
    print_comparison(compare_stage(request, explain, waits=in_multirun()))


def report_task(request: Request) -> None:
    """Writes the report of a run."""
    say(f"report: {report_stage(request.folder)}")


def report_stage(run: RunFolder) -> Path:
    """Returns the path of the report, written again from the run's files."""
    write_atomic(run.report, render(gather(run)).encode())
    return run.report


def sweep_task(request: Request) -> None:
    """Prints the table of a run's searches and writes their page."""
    summarize(request.folder)


def summarize(run: RunFolder) -> None:
    """Prints one line per target with its spread over seeds, and writes the page.

    Raises:
        InvalidInput: no search of the run is complete.
    """
    data = gather_sweep(run)
    write_atomic(run.sweep, render_sweep(data).encode())
    print_sweep(data)
    print(f"sweep      {run.sweep.resolve()}")


class AfterMultirun(Callback):
    """Summarizes the searches of a run when the last job of a multirun has ended."""

    def on_multirun_end(self, config: Any, **_: Any) -> None:
        """Prints and writes the summary; an error is printed and fails no job."""
        try:
            summarize(Request(run=str(config.run), outputs=str(config.outputs)).folder)
        except InvalidInput as error:
            say(f"sweep: no summary: {error}")


def study_address(files: SearchFolder, requested: str | None) -> str | None:
    """Returns the address of the database that holds a search; None for a journal in its folder.

    Folders are untrusted: a server that only the folder names is not contacted, since it would receive the password.

    Raises:
        InvalidInput: the search is in a database, and `requested` is None or another.
    """
    stored = stamped_config(files.root).get("storage")
    if requested is None and stored is not None:
        raise InvalidInput(f"{files.root} says that its study is in a database: if that is yours, add storage={stored}")
    if requested != stored:
        where = stored or f"the journal {files.journal}: leave storage out"
        raise InvalidInput(f"storage={requested}: {files.root} has its study in {where}")
    return requested


def dashboard_task(request: DashboardRequest) -> None:
    """Serves the dashboard of a search on this machine until it is stopped."""
    run, device = request.folder, None if request.device is None else request.device.name
    name = pick(begun_searches(run), run, device=device, study=request.study)[-1]
    files = SearchFolder(run.search(name))
    study_place = Place(files.journal, study_address(files, request.storage))
    server = make_dashboard(study_place, request.port, files.artifacts, run_text(run))
    say(f"dashboard of {files.root}: {address(server)} (stop with Ctrl-C)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("dashboard: stopped")
    finally:
        server.server_close()


def studio_task(request: StudioRequest) -> None:
    """Serves the studio on this machine until it is stopped, or extracts the network of one setting."""
    from search.studio.session import studio  # with the stages that its pages show, which no other verb needs

    studio(request)


def inspect_task(request: InspectRequest) -> None:
    """Prints the layers of a model, and writes them where the request names a file."""
    shape, classes, data = request.input_shape, request.classes, None
    if shape is None:
        data = build_data(plain(request.data))
        shape, classes = data.input_shape, data.num_outputs
    beginning = Beginning(request.start, None)
    supernet = supernet_of(request.model, request.space, shape, classes, request.seed, fill=beginning, data=data)
    if beginning.record is not None:
        say(f"inspect: weights of {beginning.record}")
    layers = layers_of(inspect(supernet), type(supernet.model).__name__)
    print_layers(layers)
    if request.output is not None:
        write_record(Path(request.output), layers)
        say(f"inspect: {request.output}")
