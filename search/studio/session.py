"""A session of the studio: what the page begins with, and what it can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import to_builtins

from ofa.task import Replicates, paired_difference
from search.config.compressing import MOST_BITS, StudioRequest, StudioSetting
from search.config.request import plain
from search.run.progress import say
from search.studio import actions, comparisons, lessons, searching
from search.studio.desk import Action
from search.studio.drawing import choices_of, picture_of
from search.studio.judging import Figure, coded_figure, costs, file_figure, judged_of, metric_of, score_figure
from search.studio.opened import Opened, open_studio
from search.studio.pacing import Tell
from search.studio.parts import MENUS, menu
from search.studio.server import serve
from search.studio.shaping import Recent, Shaped, Workbench
from search.studio.teaching import teacher_texts, usual_teacher

LIVE, FILES, WORK = "live", "files", "work"  # lanes: what follows every move, what takes longer, what is asked for


def studio(request: StudioRequest) -> None:
    """Serves the studio, or writes the network of a setting where a name for it is given.

    Raises:
        InvalidInput: what is opened is not there or damaged, or the setting does not fit it.
    """
    opened = open_studio(request)
    opened.canonical(request.begun)
    session = Session(opened)
    if request.extract is not None:
        shaped = session.bench.shape(request.begun, lambda piece: None)
        say(f"studio: {actions.extract(shaped, opened, request.extract, request.opset)}")
        return
    serve(session.actions, session.state, request.port)


class Session:
    """One network that is opened, and the settings tried on it."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.bench = Workbench(opened)
        self._scores = Recent[Replicates]()

    @property
    def actions(self) -> dict[str, tuple[str, Action]]:
        """What the page can ask for, by name, each with its lane."""
        return {
            "evaluate": (LIVE, self.evaluate),
            "pin": (LIVE, self.evaluate),
            "file": (FILES, self.code),
            "pinned_file": (FILES, self.code),
            "keep": (WORK, self.keep),
            "extract": (WORK, self.extract),
            "search": (WORK, self.search),
            "tickets": (WORK, lessons.tickets),
            "regularizers": (WORK, lessons.regularizers),
            "compression": (WORK, lessons.compression),
            "initializers": (WORK, comparisons.initializers),
            "schedules": (WORK, comparisons.schedules),
        }

    def state(self) -> dict[str, Any]:
        """Returns what the page begins with, as JSON has it."""
        opened, parameters = self.opened, dict(self.opened.full.named_parameters())
        return {
            "title": opened.title,
            "data": opened.data.name,
            "metric": opened.task.objective.title,
            "choices": [
                {"key": choice.key, "kind": choice.kind, "name": choice.name, "values": list(choice.values)}
                for choice in (choices_of(opened.supernet) if opened.supernet else ())
                if len(choice.values) > 1
            ],
            "layers": [
                {"name": name, "shape": list(parameters[name].shape), "precision": opened.precisions.get(name)}
                for name in opened.layers
            ],
            "menus": {group: menu(group) for group in MENUS},
            "bits": MOST_BITS,
            "devices": [profile.name for profile in opened.profiles],
            "teachers": teacher_texts(opened),
            "usual_teacher": usual_teacher(opened),
            "distill": opened.request.finetune.distill,
            "setting": plain(opened.canonical(opened.request.begun)),
            "blank": plain(StudioSetting()),
            "candidates": [to_builtins(row) for row in actions.kept_candidates(opened)],
        }

    def evaluate(self, body: Mapping[str, Any], tell: Tell) -> None:
        """Tells, as each is known, the canonical setting, costs, pictures and score, and how far it is from another."""
        opened = self.opened
        shaped = self.bench.shape(actions.setting_from(body.get("setting")), tell)
        setting = shaped.setting
        name = str(body.get("name") or "by-hand")
        tell(
            {
                "setting": plain(setting),
                "arch": dict(shaped.arch.values),
                "command": actions.command_of(opened, setting, name),
                "notes": [*opened.notes, *shaped.notes],
            }
        )
        tell({"figures": _rows([*costs(shaped, opened), file_figure(shaped)]), "picture": picture_of(shaped, opened)})
        judged = self._judged(shaped, tell)
        answer: dict[str, Any] = {"score": score_figure(judged.score, opened).to_dict()}
        if body.get("against") is not None:
            other = self._judged(self.bench.shape(actions.setting_from(body["against"]), tell), tell)
            answer["difference"] = metric_of(opened).gain_text(paired_difference(judged, other))
        tell(answer)

    def code(self, body: Mapping[str, Any], tell: Tell) -> None:
        """Tells what the network's file takes, after coding it."""
        shaped = self.bench.shape(actions.setting_from(body.get("setting")), tell)
        tell({"figures": _rows([coded_figure(shaped)])})

    def keep(self, body: Mapping[str, Any], tell: Tell) -> None:
        """Keeps a setting as a named candidate, and tells all of them."""
        shaped = self.bench.shape(actions.setting_from(body.get("setting")), tell)
        score = self._judged(shaped, tell).score
        texts = {figure.label: figure.text for figure in costs(shaped, self.opened)}
        actions.keep(str(body.get("name", "")), shaped.setting, score, texts, self.opened)
        tell({"candidates": [to_builtins(row) for row in actions.kept_candidates(self.opened)]})

    def extract(self, body: Mapping[str, Any], tell: Tell) -> None:
        """Writes the network of a setting, and tells where."""
        shaped = self.bench.shape(actions.setting_from(body.get("setting")), tell)
        tell({"text": "writes safetensors and ONNX"})
        folder = actions.extract(shaped, self.opened, str(body.get("name", "")), self.opened.request.opset)
        files = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        tell({"folder": str(folder), "files": files})

    def search(self, body: Mapping[str, Any], tell: Tell) -> None:
        """Searches from a setting's shape under limits; tells the command, its progress, and what it chose."""
        opened, setting = self.opened, actions.setting_from(body.get("setting"))
        shaped = self.bench.shape(StudioSetting(arch=setting.arch), tell)
        figures = {figure.key: figure.value for figure in costs(shaped, opened)}
        arguments = searching.search_arguments(opened, shaped, self._judged(shaped, tell).score, figures, body)
        tell({"command": searching.command_text(arguments)})
        tell({"chosen": searching.run_search(opened, arguments, tell)})

    def _judged(self, shaped: Shaped, tell: Tell) -> Replicates:
        """The score of a setting, remembered."""
        return self._scores.get(repr(shaped.setting), lambda: judged_of(shaped, self.opened, tell))


def _rows(figures: list[Figure]) -> list[dict[str, Any]]:
    return [figure.to_dict() for figure in figures]
