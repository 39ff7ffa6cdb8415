"""MlflowLogger: a run of MLflow, in a local database or on a server."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ofa.loggers.logger import flat, needs, numbers
from ofa.paths import write_json

STEP = "step"


class _Known(msgspec.Struct):
    """What has to be known to go on."""

    run: str


class MlflowLogger:
    """Writes to a run of its own, called `<name>`, in `<folder>/mlflow/mlflow.db` or on a server.

    `mlflow ui --backend-store-uri sqlite:///<folder>/mlflow/mlflow.db` shows the database.

    Args:
        tracking_uri: a server or another store, such as "http://host:5000"; None: the database in the folder.
        experiment: of MLflow; it is made where there is none.

    Raises:
        InvalidInput: mlflow is not installed.
    """

    def __init__(
        self, folder: Path | str, name: str, *, tracking_uri: str | None = None, experiment: str = "ofa"
    ) -> None:
        self._mlflow = needs("mlflow", "mlflow")
        self._folder, self._name, self._experiment = Path(folder) / "mlflow", name, experiment
        self._uri = tracking_uri or f"sqlite:///{(self._folder / 'mlflow.db').resolve()}"
        self._state = self._folder / f"{name.replace('/', '-')}.json"
        self._client: Any = None
        self._run = ""

    def open(self, *, fresh: bool) -> int | None:
        """Returns the last step of the run; a `fresh` one is another run."""
        self._folder.mkdir(parents=True, exist_ok=True)
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of tables
        self._client = self._mlflow.MlflowClient(tracking_uri=self._uri)
        if not fresh and self._state.exists():
            self._run = msgspec.json.decode(self._state.read_bytes(), type=_Known).run
            history = self._client.get_metric_history(self._run, STEP)
            return max((metric.step for metric in history), default=None)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = self._client.create_experiment(self._experiment) if known is None else known.experiment_id
        self._run = self._client.create_run(experiment, run_name=self._name).info.run_id
        write_json(self._state, {"run": self._run})
        return None

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Adds a row's numbers as metrics; texts are tags, the newest of each name."""
        now = int(time.time() * 1000)
        metric = self._mlflow.entities.Metric
        values = dict(numbers(row)) | {STEP: float(step)}
        texts = {name: value for name, value in flat(row).items() if isinstance(value, str)}
        self._client.log_batch(self._run, metrics=[metric(name, value, now, step) for name, value in values.items()])
        for name, value in texts.items():
            self._client.set_tag(self._run, name, value)

    def close(self) -> None:
        """Marks the run as finished."""
        if self._client is not None and self._run:
            self._client.set_terminated(self._run)
