"""`ofa run`: train, profile this machine, search, extract, report; what is done is skipped."""

from __future__ import annotations

import time

from omegaconf import DictConfig

from search.app.build import run_folder
from search.app.devices import search_devices
from search.app.extract import extract_stage
from search.app.report import report_stage
from search.app.search import check_search, search_stage
from search.app.search_settings import search_settings
from search.app.table import print_table
from search.app.train import train_stage
from search.progress import duration, say
from search.trained import load_trained


def task(config: DictConfig) -> None:
    """Does the whole job, then prints what came out and where it is."""
    started = time.monotonic()
    run = run_folder(config)
    check_search(config, run)
    force = bool(config.force)
    train_stage(config, run)
    trained = load_trained(run)
    devices = search_devices(config, run, trained, force=force)
    searched = search_stage(config, run, trained, devices)
    rows = extract_stage(config, run, trained, search_settings(config).name, force=force or searched)
    report = report_stage(run)
    say(f"done in {duration(time.monotonic() - started)}")
    print_table(rows)
    usual = {"run": "main", "outputs": "outputs"}
    where = "".join(f" {key}={config[key]}" for key, value in usual.items() if config[key] != value)
    print(f"report     {report.resolve()}")
    print(f"dashboard  ofa dashboard{where}")
