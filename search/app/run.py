"""`ofa run`: train, profile this machine, search, extract, report; what is done is skipped."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from search.app.build import run_folder
from search.app.extract import extract_stage
from search.app.profile import profile_stage
from search.app.report import report_stage
from search.app.search import check_search, search_stage
from search.app.table import print_table
from search.app.train import train_stage
from search.latency_limits import check_latency, search_name
from search.progress import duration, say
from search.trained import load_trained


def task(config: DictConfig) -> None:
    """Does the whole job, then prints what came out and where it is."""
    started = time.monotonic()
    run = run_folder(config)
    check_search(config)
    force = bool(config.force)
    train_stage(config, run)
    trained = load_trained(run)
    profile = profile_stage(config, run, trained, force=force)
    searched = search_stage(config, run, trained, profile)
    name = search_name(profile.name, check_latency(config.latency_ms), config.study)
    rows = extract_stage(config, run, trained, name, force=force or searched)
    report = report_stage(run)
    say(f"done in {duration(time.monotonic() - started)}")
    print_table(rows)
    usual = {"run": "main", "outputs": "outputs"}
    where = "".join(f" {key}={config[key]}" for key, value in usual.items() if config[key] != value)
    print(f"report     {report.resolve()}")
    print(f"dashboard  ofa dashboard{where}")
