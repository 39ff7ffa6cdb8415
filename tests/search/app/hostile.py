"""Files of a run as a hostile author would write them, who knows how checksums are made."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ofa.records import checksum_of
from search.run.stages import hash_of

SETTINGS_FILES = ("*.json", "*.yaml")


@dataclass(frozen=True)
class Place:
    """A mapping in a file of the run: the file, and the keys that lead to it."""

    file: str
    keys: tuple[Any, ...]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text()) if path.suffix == ".yaml" else json.loads(path.read_text())


def write(path: Path, value: Any) -> None:
    """Writes it as its author would, who knows how a checksum is made."""
    if path.suffix == ".yaml":
        path.write_text(yaml.safe_dump(value))
        return
    if isinstance(value, dict) and "checksum" in value:
        value = {**value, "checksum": checksum_of({key: one for key, one in value.items() if key != "checksum"})}
    path.write_text(json.dumps(value))


def mappings(value: Any, keys: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The keys that lead to every mapping of a value."""
    if isinstance(value, dict):
        yield keys
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from mappings(inner, (*keys, key))


def inside(value: Any, keys: tuple[Any, ...]) -> Any:
    for key in keys:
        value = value[key]
    return value


def put(run: Path, place: Place, hostile: dict[str, Any], *, keep: bool = False) -> None:
    """Puts a hostile mapping into a file, and mends the digests that its author would mend, too."""
    path = run / place.file
    content = read(path)
    if place.keys and not keep:
        inside(content, place.keys[:-1])[place.keys[-1]] = hostile
    else:
        inside(content, place.keys).update(hostile)
    write(path, content)
    if place.file == "supernet/config.yaml":
        card = read(run / "supernet/supernet.json")
        write(run / "supernet/supernet.json", {**card, "config_hash": hash_of(content)})


def targets_of(run: Path) -> list[Place]:
    """Every place of a run that has a `_target_`."""
    files = sorted(path for pattern in SETTINGS_FILES for path in run.rglob(pattern))
    return [
        Place(path.relative_to(run).as_posix(), keys)
        for path in files
        for content in [read(path)]
        for keys in mappings(content)
        if "_target_" in inside(content, keys)
    ]


def runs_a_program(canary: Path) -> dict[str, Any]:
    return {"_target_": "setuptools._distutils.spawn.spawn", "cmd": ["touch", str(canary)]}


def hostile_calls(folder: Path, canary: Path) -> list[dict[str, Any]]:
    """What a hostile author could write; each makes the canary when it is called."""
    touch, code = ["touch", str(canary)], f"open({str(canary)!r}, 'w')"
    (folder / "evil_module.py").write_text(f"{code}\nclass Net: pass\n")
    (folder / "outputs/tiny/evil.py").write_text(f"{code}\nclass Net: pass\n")
    (folder / "hub").mkdir()
    (folder / "hub/hubconf.py").write_text(f"{code}\ndef net(**_): pass\n")

    class Opens:
        def __reduce__(self) -> Any:
            return (open, (str(canary), "w"))

    (folder / "weights.pt").write_bytes(pickle.dumps(Opens()))
    spawn = runs_a_program(canary)
    return [
        spawn,
        {"_target_": "subprocess.run", "args": touch},
        {"_target_": "os.system", "command": " ".join(touch)},
        {"_target_": "torch.nn.modules.module.os.system", "command": " ".join(touch)},
        {"_target_": "builtins.eval", "_args_": [code]},
        {"_target_": "builtins.exec", "_args_": [code]},
        {"_target_": "builtins.open", "file": str(canary), "mode": "w"},
        {"_target_": "pathlib.Path.touch", "_args_": [{"_target_": "pathlib.Path", "_args_": [str(canary)]}]},
        {"_target_": "runpy.run_path", "path_name": str(folder / "evil_module.py")},
        {"_target_": "torch.hub.load", "repo_or_dir": str(folder / "hub"), "source": "local", "model": "net"},
        {"_target_": "torch.load", "f": str(folder / "weights.pt"), "weights_only": False},
        {"_target_": "evil_module.Net"},
        {"_target_": "outputs.tiny.evil.Net"},
        {"_target_": "search.device.runtimes.ncnn._said_by", "command": touch, "folder": "."},
        {"_target_": "search.objects.make", "config": spawn},
        {"_target_": "search.device.runtime.make_runtime", "config": spawn},
        {"_target_": "search.device.runtime.make_runtime", "config": "evil_module.Net"},
        {"_target_": "search.app.main.main", "arguments": ["train", f"outputs={canary}", "experiment=tiny"]},
        {"_target_": "hydra.utils.instantiate", "_recursive_": False, "config": spawn},
        {"_target_": "torch.nn.Sequential", "_args_": [[[spawn]]]},
        {"_target_": "torch.optim.SGD", "_partial_": True, "_recursive_": False, "params": {"deep": [spawn]}},
        {"_target_": "ofa.models.ResNet", "depth": "${oc.env:HOME}"},
        {"_target_": "ofa.models.ResNet", "${oc.env:HOME}": 8},
    ]
