"""What is done with a setting: kept as a candidate, written as a network."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from ofa.errors import InvalidInput
from ofa.records import Name, Object, Part, Record, Text, read_record, write_record
from ofa.task import Score
from search.config.compressing import StudioSetting
from search.config.read import converted
from search.config.rules import check_plain_name
from search.networks.folder import SubnetFolder, replaced
from search.networks.network_files import Origin, network_files
from search.objects import make
from search.run.cards import InputPreprocessing, SubnetFacts
from search.run.scores import metrics_of, ordered
from search.studio.opened import Opened
from search.studio.shaping import Shaped
from search.subnets.extract import extract_subnet
from search.training.judging import held_out


class Kept(Part, frozen=True, kw_only=True):
    """A named candidate: a setting, and the figures that it had when it was kept.

    Attributes:
        network: what was opened, in words.
        figures: texts by label.
    """

    name: Name
    network: Text
    setting: Object
    score: Score
    figures: Mapping[str, Text]
    date_utc: Text


class KeptCandidates(Record, frozen=True, kw_only=True):
    """studio/candidates.json of a run."""

    KIND: ClassVar[str] = "studio candidates"
    REMEDY: ClassVar[str] = "restore it, or delete it to begin with none"

    rows: tuple[Kept, ...] = ()


def kept_candidates(opened: Opened) -> tuple[Kept, ...]:
    """Returns the candidates kept of what is opened, oldest first.

    Raises:
        InvalidInput: their file is damaged.
    """
    path = _candidates_path(opened)
    rows = read_record(path, KeptCandidates).rows if path.is_file() else ()
    return tuple(row for row in rows if row.network == opened.title)


def keep(name: str, setting: StudioSetting, score: Score, figures: Mapping[str, str], opened: Opened) -> Kept:
    """Returns the candidate, after adding it to the run's file in place of one of the same name.

    Raises:
        InvalidInput: a name that is empty or long.
    """
    if not name.strip() or len(name) > 80:
        raise InvalidInput(f"name={name[:90]!r} of a candidate must have 1 to 80 characters, such as thin-stem")
    path = _candidates_path(opened)
    rows = read_record(path, KeptCandidates).rows if path.is_file() else ()
    new = Kept(
        name=name.strip(),
        network=opened.title,
        setting=setting.changes,
        score=score,
        figures=dict(figures),
        date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    others = [row for row in rows if (row.name, row.network) != (new.name, new.network)]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_record(path, KeptCandidates(rows=(*others, new)))
    return new


def _candidates_path(opened: Opened) -> Path:
    return opened.run.root / "studio" / "candidates.json"


def command_of(opened: Opened, setting: StudioSetting, name: str) -> str:
    """Returns the command line that writes a setting's network without the page, to the same bits."""
    changes = setting.changes
    extra = [f"setting={hydra_text(changes)}"] if changes else []
    return shlex.join(["ofa", "studio", *opened.words, f"extract={name}", *extra])


def hydra_text(value: Any) -> str:
    """Returns a plain value as an override of Hydra has it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{hydra_text(inner)}" for key, inner in value.items()) + "}"
    return str(value)


def extract(shaped: Shaped, opened: Opened, name: str, opset: int) -> Path:
    """Returns the folder of the network of a setting, written completely: safetensors, ONNX, card, verify.npz.

    Raises:
        InvalidInput: a name that is a path or of another network, or a network that cannot be exported.
    """
    check_plain_name("extract", name, "extract=by-hand")
    folder = opened.run.subnet(name)
    if SubnetFolder(folder).card.is_file():
        raise InvalidInput(f"extract={name}: {folder} is there already; give another name, such as {name}-2")
    folder.parent.mkdir(parents=True, exist_ok=True)
    images, _ = next(shaped.data.test.in_order(8))
    if opened.trained is None:
        _write(shaped, opened, folder, images, opset)
        return folder
    trained, metrics = opened.trained, metrics_of(opened.task)
    facts = SubnetFacts(
        settings=_flat(shaped.setting.changes) or None,
        density=_density(shaped),
        metrics=metrics,
        scores=ordered(held_out(shaped.network, shaped.data, opened.task), metrics),
        data=opened.data.name,
        num_classes=opened.data.num_outputs,
        class_names=tuple(opened.data.class_names),
        preprocessing=InputPreprocessing(**shaped.data.preprocessing),
        postprocessing=opened.task.postprocessing or None,
        config_hash=trained.card.config_hash,
    )
    extract_subnet(
        trained.supernet,
        shaped.arch,
        folder,
        calibration_images=opened.calibration,
        verify_images=next(trained.data.test.in_order(8))[0],
        facts=facts,
        model_config=trained.config["model"],
        space_rules=make(trained.config["space"]),
        network=shaped.network,
        masks=dict(shaped.masks) or None,
        opset=opset,
    )
    return folder


def _write(shaped: Shaped, opened: Opened, folder: Path, images: Any, opset: int) -> None:
    """Writes a network whose supernet is not known."""
    rebuild = opened.rebuild
    rules = None if rebuild.space_rules is None else make({"_target_": "ofa.SpaceRules", **rebuild.space_rules})
    origin = Origin(shaped.arch, rebuild.model, rules, rebuild.input_shape, rebuild.num_classes)
    files = network_files(shaped.network, images, origin, opset=opset, masks=dict(shaped.masks) or None)
    with replaced(folder) as building:
        write_record(building.card, files.write(building))


def _density(shaped: Shaped) -> float | None:
    """The fraction of the masked weights that is kept; None where nothing is removed."""
    if not shaped.masks:
        return None
    numbers = sum(parameter.numel() for parameter in shaped.network.parameters())
    return 1 - sum(int((~mask).sum()) for mask in shaped.masks.values()) / numbers


def _flat(changes: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of a setting: a value by name; its choices are in the Arch."""
    flat: dict[str, Any] = {}
    for key, value in changes.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": inner for name, inner in value.items()} if key != "arch" else {}
        else:
            flat[key] = value
    return flat


def setting_from(value: Any) -> StudioSetting:
    """Returns a setting that the page sent.

    Raises:
        InvalidInput: a key or a value that a setting has not.
    """
    return converted(value, StudioSetting, "setting")
