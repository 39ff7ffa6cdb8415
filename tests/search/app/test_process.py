"""The terminal: signals to stop are heard like Ctrl-C, and any character can be written."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from search.app.main import main
from search.app.process import StoppedBySignal, signals_as_interrupts
from search.run.file_lock import is_free
from tests.search.app.command import ofa_fork, ofa_process

LONG = ["experiment=tiny", "train.epochs=5000", "train.checkpoint_seconds=0.1"]
STOPPED = "ofa train: stopped; the same command continues where it was"


def wait_for(*paths: Path) -> None:
    while not all(path.exists() for path in paths):
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_signals_to_stop_say_the_same_and_keep_the_checkpoint(name: str, tmp_path: Path) -> None:
    number = getattr(signal, name)
    checkpoint = tmp_path / "outputs/tiny/supernet/checkpoint.safetensors"
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("what is ignored here stays ignored in the processes that are started")
    with ofa_fork(["train", *LONG], tmp_path) as (job, said):
        wait_for(checkpoint)
        assert job.pid is not None
        os.kill(job.pid, number)
        job.join(60)
    assert job.exitcode == 128 + number
    text = said.read_text()
    assert text.splitlines()[-1] == STOPPED
    assert "Traceback" not in text
    assert checkpoint.is_file()


def test_a_stop_that_is_dropped_on_its_way_is_raised_again() -> None:
    drops: list[str] = []
    with pytest.raises(StoppedBySignal) as stopped, signals_as_interrupts():
        with suppress(KeyboardInterrupt):  # as C code does that clears the errors of what it calls
            os.kill(os.getpid(), signal.SIGTERM)
        while len(drops) < 2:
            with suppress(KeyboardInterrupt):
                drops.append("waits")
                time.sleep(20)
                drops.append("was not raised again")
        time.sleep(20)
    assert stopped.value.number == signal.SIGTERM
    assert drops == ["waits", "waits"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_of_a_multirun_stop_with_it(launcher: str, number: signal.Signals, tmp_path: Path) -> None:
    jobs = ["--multirun", "seed=0,1", "run=tiny${seed}", f"hydra/launcher={launcher}"]
    folders = [tmp_path / f"outputs/tiny{seed}" for seed in (0, 1)]
    with ofa_process(["train", *LONG, *jobs], tmp_path) as job:
        wait_for(*(folder / "supernet/checkpoint.safetensors" for folder in folders))
        job.send_signal(number)
        job.wait()
    assert job.returncode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    while not all(is_free(folder / "supernet.lock") for folder in folders):  # held for as long as its job lives
        time.sleep(0.05)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_tables_can_be_written_in_any_encoding(encoding: str, tmp_path: Path) -> None:
    code = "from search.app.main import main; main(['--version']); print('───  ± 1 × é…')"
    shown = plain_python(code, PYTHONIOENCODING=encoding)
    assert shown.splitlines()[-1] in ("---  +- 1 x ?...", "---  ± 1 × é...")


def plain_python(code: str, **variables: str) -> str:
    import subprocess
    import sys

    environment = {**os.environ, **variables}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    return done.stdout.decode(variables["PYTHONIOENCODING"])


def test_handlers_are_as_before_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert main(["report"]) == 2
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
