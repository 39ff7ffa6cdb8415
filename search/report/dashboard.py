"""The dashboard: optuna-dashboard over a study, served only to this machine, with two additional figures.

They show the metric over latency with the limits, and the importance of choices, drawn from the trials so far.
"""

from __future__ import annotations

import errno
import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Lock
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.storages import BaseStorage
from optuna.study import Study

from ofa.errors import InvalidInput
from ofa.records import Object
from search.analysis.analyze import LEAST
from search.candidates.optuna_internals import FrozenStudy, study_attributes, study_id
from search.candidates.search_files import TrialRow
from search.candidates.trials import trial_rows
from search.report.dashboard_figures import importance_figure, limits_figure, metric_of, study_note, study_title
from search.report.figures import Figure
from search.run.scores import MetricFacts
from search.study.artifacts import TrialFileStore
from search.study.database import Place, database_storage
from search.study.journal import open_journal
from search.study.trial_attributes import THIS_RUN

HOST = "127.0.0.1"
Application = Callable[..., Iterable[bytes]]
NOTES = "note_str:"  # part of the keys of the dashboard's notes
GROWN = 1.1  # importances, which take a second, are recomputed once the number of trials grew by this factor
# Attributes of trials are paragraphs of its library of components; an Arch as JSON has some hundred letters.
STYLE = b"<style>p.MuiTypography-body1 { white-space: normal; overflow-wrap: anywhere; }</style>"


class _ThreadedServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: one line per request would bury the command's messages."""


def make_dashboard(
    source: Path | Place, port: int = 8080, artifacts: Path | None = None, run: str = THIS_RUN
) -> WSGIServer:
    """Returns a server on the loopback address only, ready to `serve_forever()`; port 0 takes any free port.

    The studies are shown with the additional figures, and the files of their trials from the folder `artifacts`. `run`
    is the argument that names the run in a command, such as "run=tiny".

    Raises:
        InvalidInput: optuna-dashboard is not installed, no such journal, a database that cannot be reached, or the
            port is taken.
    """
    if importlib.util.find_spec("optuna_dashboard") is None:
        raise InvalidInput("optuna-dashboard is not installed: pip install 'ofa-search[dashboard]'")
    source = Place(source) if isinstance(source, Path) else source
    if source.address is None and not source.journal.exists():
        raise InvalidInput(f"{source} does not exist: search first")
    if not 0 <= port <= 65535:
        raise InvalidInput(f"port={port!r} must be a whole number from 0 to 65535")
    storage = open_journal(source.journal) if source.address is None else database_storage(source.address)
    files = TrialFileStore(artifacts) if artifacts is not None else None
    pages = importlib.import_module("optuna_dashboard").wsgi(with_figures(storage, run), files)
    application = only_local(with_broken_lines(pages))
    try:
        server = make_server(HOST, port, application, server_class=_ThreadedServer, handler_class=_QuietHandler)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise InvalidInput(f"port={port} cannot be used ({error.strerror}); choose another, or 0 for any") from None
    return server


def address(server: WSGIServer) -> str:
    """Returns the URL of the server."""
    return f"http://{HOST}:{server.server_port}/dashboard/"


def only_local(application: Application) -> Application:
    """Returns the application, which then refuses requests for another host name.

    The dashboard can delete studies without a password; a website could otherwise reach it through a host name that
    resolves to the loopback address.
    """

    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_HOST", "").rsplit(":", 1)[0] not in (HOST, "localhost"):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"this dashboard is for this machine only\n"]
        return application(environ, start_response)

    return guarded


def with_figures(storage: BaseStorage, run: str = THIS_RUN) -> BaseStorage:
    """Returns the storage, whose studies then carry the figures in the dashboard's format.

    `run` holds the arguments that name the run; they are filled into the commands of notes.
    """
    figures = _Figures(storage)
    studies = storage.get_all_studies

    def get_all_studies() -> list[FrozenStudy]:
        frozen = studies()
        for study in frozen:
            ours = figures.attributes(study)  # before the study has another name
            note = {key: ours.pop(key) for key in [*ours] if "note" in key}  # a person's own comes first
            study.system_attrs = {**_of_run(note, run), **_of_run(study.system_attrs, run), **ours}
            study.study_name = study_title(study.study_name, study.user_attrs, run)
        return frozen

    setattr(storage, "get_all_studies", get_all_studies)  # noqa: B010, the dashboard only takes a BaseStorage
    return storage


def _of_run(attributes: Object, run: str) -> dict[str, Any]:
    """The attributes of a study with `run` in the texts of its notes."""
    return {
        key: value.replace(THIS_RUN, run) if isinstance(value, str) and NOTES in key else value
        for key, value in attributes.items()
    }


class _Figures:
    """The figures of the studies of a storage, redrawn when there are new trials."""

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._lock = Lock()  # the dashboard calls from several threads
        self._scratch = _quiet_study()
        # By study: the number of finished trials, and the attributes made from them.
        self._cache: dict[int, tuple[int, dict[str, Any]]] = {}
        self._importances: dict[int, tuple[int, Figure | None]] = {}

    def attributes(self, study: FrozenStudy) -> dict[str, Any]:
        """The study attributes that hold the figures."""
        identity = study_id(study)
        with self._lock:
            opened = optuna.load_study(study_name=study.study_name, storage=self._storage)
            rows = trial_rows(opened)
            count, attributes = self._cache.get(identity, (-1, {}))
            if count != len(rows):
                figures = {
                    "pareto": limits_figure(opened, rows),
                    "importance": self._importance(identity, rows, metric_of(opened)),
                }
                available = {name: figure for name, figure in figures.items() if figure is not None}
                attributes = _saved(self._scratch, available, study_note(opened, rows))
                self._cache[identity] = len(rows), attributes
            return dict(attributes)

    def _importance(self, identity: int, rows: Sequence[TrialRow], metric: MetricFacts) -> Figure | None:
        evaluated = sum(row.state == "evaluated" for row in rows)
        count, figure = self._importances.get(identity, (0, None))
        if evaluated >= max(LEAST, GROWN * count):
            figure = importance_figure(rows, metric)
            self._importances[identity] = evaluated, figure
        return figure


def _quiet_study() -> Study:
    """A study in memory, created without Optuna's log message."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study()
    finally:
        optuna.logging.set_verbosity(before)


def _saved(scratch: Study, figures: Mapping[str, Figure], note: str) -> dict[str, Any]:
    """The study attributes that the dashboard itself saves for figures and a note, read back from a scratch study."""
    import plotly.graph_objects as plotly  # a slow import, only needed here

    dashboard = importlib.import_module("optuna_dashboard")
    save = dashboard.save_plotly_graph_object
    dashboard.save_note(scratch, note)
    for name, figure in figures.items():
        save(scratch, plotly.Figure(figure), graph_object_id=name)
    ours = tuple(f":{name}:" for name in figures)
    saved = study_attributes(scratch)
    return {key: value for key, value in saved.items() if "note" in key or any(name in key for name in ours)}


def with_broken_lines(application: Application) -> Application:
    """Returns the application, whose pages then break long lines, so that no page is wider than its window."""

    def styled(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        begun: list[Any] = []

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], None]:
            begun[:] = [status, headers, *error]
            return lambda data: None

        parts = application(environ, start)
        status, headers, *error = begun
        names = {name.lower(): value for name, value in headers}
        if not names.get("content-type", "").startswith("text/html") or "content-encoding" in names:
            start_response(status, headers, *error)
            return parts
        page = b"".join(parts).replace(b"</head>", STYLE + b"</head>", 1)
        others = [(name, value) for name, value in headers if name.lower() != "content-length"]
        start_response(status, [*others, ("Content-Length", str(len(page)))], *error)
        return [page]

    return styled
