"""A model that its configuration reads from elsewhere: what was read becomes part of the configuration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ofa.errors import InvalidInput
from ofa.models.hub import timm_architecture, transformers_config
from ofa.records import Object
from search.run.stages import stamped_config

TRANSFORMERS, TIMM = "ofa.models.from_transformers", "ofa.models.from_timm"


def settled(model: Object, outputs: Iterable[Path]) -> dict[str, Any]:
    """Returns a `model` group that needs no other file: a network of transformers with its configuration written out.

    So later verbs build it again when the folder is gone, and a folder that was replaced is another configuration.

    Args:
        model: the group.
        outputs: of stages that may have been made with the same name: what they keep replaces a folder that is gone,
            and what the hub says now.

    Raises:
        InvalidInput: a name that is neither a folder nor known, or a damaged configuration.
    """
    target, name = model.get("_target_"), model.get("name")
    if not isinstance(name, str):
        return dict(model)
    if target == TIMM and Path(name).is_dir():
        architecture, arguments = timm_architecture(name)
        return {**model, "name": architecture, "arguments": {**arguments, **(model.get("arguments") or {})}}
    if target != TRANSFORMERS or model.get("config") is not None:
        return dict(model)
    if not Path(name).is_dir():
        for output in outputs:
            known = stamped_config(output).get("model")
            if isinstance(known, dict) and {**known, "config": None} == {**model, "config": None}:
                return known
    return {**model, "config": transformers_config(name)}


def check_settled(model: Object, source: Path) -> None:
    """Checks that a stored model reads nothing from elsewhere.

    Raises:
        InvalidInput: it names a folder or a hub, and has no configuration.
    """
    name = str(model.get("name"))
    unread = model.get("_target_") == TRANSFORMERS and model.get("config") is None
    if unread or (model.get("_target_") == TIMM and ("/" in name or ":" in name)):
        raise InvalidInput(f"{source} is damaged: model.name={name:.80} would be read from elsewhere; restore it")
