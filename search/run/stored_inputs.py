"""The inputs of a stage as stored beside its output: configuration (config.yaml) and data; their differences."""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from ofa.checkpoint import load_checkpoint, save_checkpoint
from ofa.data import Dataset
from ofa.data.checks import check_data
from ofa.data.contents import PARTS, Contents, changes, contents_of
from ofa.data.selection import Selection
from ofa.data.targets import targets_in_words
from ofa.errors import InvalidInput, is_whole
from ofa.inputs import Inputs
from ofa.paths import write_atomic
from ofa.records import DEEPEST, Object, read_limited
from search.run.progress import say

LARGEST_FILE = 2**20  # bytes; the toolkit's own have a few thousand

REMEDY = "restore it, or redo what wrote it with force=true"

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SHOWN = 4  # keys that a message names at most
LONGEST_VALUE = 40  # characters
READERS = ("data.dataset.num_workers", "data.dataset.threads")
DATA = "data.safetensors"
_NAMES = 6  # classes that are named at most


def read_stored_config(path: Path) -> dict[str, Any]:
    """Returns the configuration in a YAML file that the toolkit wrote, unresolved.

    Raises:
        InvalidInput: the file is missing, too large, damaged, or has what no stored configuration has: YAML references,
            type tags, or deep nesting.
    """
    try:
        text = read_limited(path, LARGEST_FILE).decode("utf-8")
        _check_events(text)
        config = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
        json.dumps(config, sort_keys=True)  # its hash is computed this way
    except (OmegaConfBaseException, yaml.YAMLError, ValueError, TypeError, OSError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InvalidInput(f"{path} is damaged ({reason:.200}); {REMEDY}") from None
    if not isinstance(config, dict):
        raise InvalidInput(f"{path} is damaged: it is no mapping; {REMEDY}")
    return {str(key): value for key, value in config.items()}


def write_stored_config(path: Path, config: Mapping[str, Any]) -> None:
    """Writes a configuration of plain values as YAML."""
    write_atomic(path, OmegaConf.to_yaml(OmegaConf.create(dict(config))).encode())


def _check_events(text: str) -> None:
    """Checks YAML before anything is built from it: one line of references can expand to gigabytes."""
    depth = 0
    for event in yaml.parse(text, Loader=_PARSER):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("it has references, and a stored configuration has none")
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            raise ValueError(f"it names a type, {event.tag:.60}, and a stored configuration names none")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def config_differences(stored: Object, current: Object) -> str:
    """Returns the keys whose values differ, with both values, as text for a message; empty where none do.

    How many processes or threads read the data is no difference: batches are the same bits, and who runs out of memory
    goes on with fewer.
    """
    flat = [flatten(stored), flatten(current)]
    if str(flat[1].get("data.dataset._target_")).startswith("ofa.data."):  # a user's own may mean more by them
        flat = [{key: value for key, value in each.items() if key not in READERS} for each in flat]
    before, after = flat
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    texts = [f"{key}={_short(before.get(key))} there, {_short(after.get(key))} now" for key in changed[:SHOWN]]
    return "; ".join([*texts, *([f"and {len(changed) - SHOWN} more"] if len(changed) > SHOWN else [])])


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Returns nested dictionaries as one, keys joined with dots."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat |= flatten(inner, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _short(value: Any) -> str:
    text = "absent" if value is None else str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def begin_with(data: Dataset, folder: Path, remedy: str) -> None:
    """Records the data that a stage's folder is made from; a stage that resumes must use the same data.

    Args:
        remedy: how to make the folder again, such as "force=true".

    Raises:
        InvalidInput: it was begun with other data; the message lists the differences by split.
    """
    path = folder / DATA
    if path.exists():
        check_same(data, folder, remedy)
        return
    contents = contents_of(data)
    tensors = {f"{part}.identities": contents.identities[part] for part in PARTS}
    tensors |= {f"{part}.targets": contents.targets[part] for part in PARTS}
    sizes = {part: contents.size(part) for part in PARTS}
    meta = {"class_names": list(contents.class_names), "sizes": sizes, "digests": contents.digests}
    save_checkpoint(path, tensors, meta)


def check_same(data: Dataset, folder: Path, remedy: str) -> None:
    """Checks that the data is what a stage's folder was made from.

    Raises:
        InvalidInput: it is not, with the differences by split; or the record is missing or damaged.
    """
    path = folder / DATA
    if not path.exists():
        raise InvalidInput(
            f"{folder} does not say which data it was made with, so {data.name} cannot be held against it; "
            f"restore {path.name}, or {remedy} (older versions also cut data into splits in another way)"
        )
    if differences := changes(_read(path), contents_of(data)):
        raise InvalidInput(
            f"{data.name} is not the data that {folder} was made with: {differences}; "
            f"restore it, use run=NAME for another run with it, or {remedy}"
        )


def _is_whole_numbers(tensor: Tensor) -> bool:
    return tensor.dim() == 1 and tensor.dtype == torch.int64


def _are_sizes(sizes: Any) -> bool:
    return isinstance(sizes, dict) and sizes.keys() == set(PARTS) and all(is_whole(size, 1) for size in sizes.values())


def _read(path: Path) -> Contents:
    tensors, meta = load_checkpoint(path)
    expected = {f"{part}.{kind}" for part in PARTS for kind in ("identities", "targets")}
    known: dict[str, Any] = meta if isinstance(meta, dict) else {}
    names: Any = known.get("class_names")
    sizes: Any = known.get("sizes")
    sound = isinstance(names, list) and _are_sizes(sizes) and all(map(_is_whole_numbers, tensors.values()))
    if tensors.keys() != expected or not sound:
        raise InvalidInput(f"{path} is damaged (not a record of data); restore it")
    if any(len(tensors[f"{part}.identities"]) != len(tensors[f"{part}.targets"]) for part in PARTS):
        raise InvalidInput(f"{path} is damaged (a target is missing, or a sample); restore it")
    contents = Contents(
        {part: tensors[f"{part}.identities"] for part in PARTS},
        {part: tensors[f"{part}.targets"] for part in PARTS},
        tuple(map(str, names)),
        sizes,
    )
    if meta.get("digests") != contents.digests:
        raise InvalidInput(f"{path} is damaged ({json.dumps(meta.get('digests'))[:80]} does not fit it); restore it")
    return contents


def show_data(data: Dataset, config: Object) -> None:
    """Prints what the data set of a `data` group holds, and one line per doubt about it.

    Raises:
        InvalidInput: data that cannot be used: constant images or labels, or held-out images all trained on.
    """
    notes = check_data(data)
    say(f"data: {data_line(data, str(config['dataset'].get('_target_', '')))}")
    for note in notes:
        say(f"data: warning: {note}")


def data_line(data: Dataset, target: str) -> str:
    """Returns one line with the classes and the size and origin of each split; `target` replaces a missing origin."""
    names = ", ".join(data.class_names[:_NAMES]) + (", ..." if len(data.class_names) > _NAMES else "")
    classes = f"{data.num_classes} classes" + (f" ({names})" if names else "")
    if data.num_classes is None:
        kind = targets_in_words(data.train.first[1])
        classes = (
            f"targets {', '.join(data.target_names[:_NAMES])} ({kind})" if data.target_names else f"targets {kind}"
        )
    splits = []
    for part in PARTS:
        split = getattr(data, part)
        splits.append(f"{part} {len(split):,} ({split.origin or f'from {target}'})")
    return f"{data.name}, {classes}: {', '.join(splits)}"


def settings_digest(*parts: Any) -> str:
    """Returns 16 hex digits of tensors (contents, shape and dtype), inputs and plain values."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(f"{part.dtype}{tuple(part.shape)}".encode())
            digest.update(part.detach().cpu().contiguous().numpy().tobytes())
        elif isinstance(part, Selection):
            digest.update(settings_digest(part.split.preprocessing, part.split.identities[part.positions]).encode())
        elif isinstance(part, Inputs):
            plain = part.map(lambda _: torch.zeros(1))  # what else is given, without the tensors
            digest.update(settings_digest(repr(plain), *part.tensors(), *part.tensors().values()).encode())
        else:
            digest.update(repr(part).encode())
    return digest.hexdigest()[:16]


def check_finite(config: Object) -> None:
    """Raises InvalidInput where a configuration has NaN or infinity, which JSON cannot hold."""
    for key, value in flatten(config).items():
        numbers = value if isinstance(value, list) else [value]
        if any(isinstance(number, float) and not math.isfinite(number) for number in numbers):
            raise InvalidInput(f"{key}={value} must be finite (text that reads like a number goes in quotes)")
