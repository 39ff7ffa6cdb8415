"""A bundle: a zip of networks, a manifest and one script, to be measured on a machine without this toolkit."""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ofa.cost import cost
from ofa.errors import InvalidInput
from search.device.measure import Progress
from search.device.runtime import RUNTIMES, Portable, Runtime
from search.device.sample import Network, Sample
from search.device.script_of_bundle import measuring_script
from search.device.sentinel import SENTINEL_NAME, sentinel
from search.device.stand_in import stand_in
from search.device.standalone.loaders import LOADERS
from search.device.standalone.script import MANIFEST, MANIFEST_SCHEMA, digest_of

if TYPE_CHECKING:
    from ofa.supernet import Supernet

KIND = "ofa-search bundle"
PROFILE, FINALISTS = "profile", "finalists"  # what a bundle is for
SCRIPT = "measure.py"
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file: the same networks give the same zip


def portable(runtime: Runtime) -> Portable:
    """Returns the runtime as one whose networks are files.

    Raises:
        InvalidInput: it is none; those that are get named.
    """
    if isinstance(runtime, Portable):
        return runtime
    known = ", ".join(name for name in RUNTIMES if name in LOADERS)
    raise InvalidInput(f"runtime {runtime.name} cannot be taken to another machine; those that can: {known}")


def write_bundle(
    path: Path,
    supernet: Supernet,
    runtime: Portable,
    sample: Sample,
    *,
    device: str,
    purpose: str,
    protocol: Mapping[str, Any],
    settings: Mapping[str, Any],
    versions: Mapping[str, str],
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Returns the manifest of the bundle that it writes to `path`, whole or not at all.

    A piece or a probe that the runtime cannot write is left out. Weights are stand-ins.

    Args:
        purpose: `PROFILE` or `FINALISTS`.
        protocol: clock, visits, repeats, seconds and seed.
        settings: what the measurement belongs to, looked at when it comes back.
        progress: called with {"stage": "load", "done", "total"}.

    Raises:
        InvalidInput: a subnet that cannot be written, or `path` is a file that is no zip.
    """
    _check_target(path)
    items = sample.items
    example = supernet.example_input[:1]
    trained = len(items.archs) + len(items.pieces)
    networks: list[Network] = [*((net, example) for net in sample.nets), *sample.parts, sentinel()]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    rows: list[dict[str, Any]] = []
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as bundle:
            for number, (net, given) in enumerate(networks):
                needed = number < len(items.archs) or number == len(networks) - 1
                plain = (stand_in(net, given) if number < trained else net, given)
                rows.append({"shape": list(given.shape), "files": _put(bundle, number, runtime, plain, needed)})
                if progress:
                    progress({"stage": "load", "done": number + 1, "total": len(networks)})
            manifest: dict[str, Any] = {
                "kind": KIND,
                "schema": MANIFEST_SCHEMA,
                "purpose": purpose,
                "device": device,
                "loader": runtime.loader,
                "options": dict(runtime.options),
                "space": supernet.space.digest,
                "input_shape": list(example.shape),
                "archs": [arch.to_dict() for arch in items.archs],
                "macs": cost(supernet, items.archs)["macs"].tolist(),
                "pieces": [dict(piece) for piece in items.pieces],
                "widths": list(items.widths),
                "sentinel": SENTINEL_NAME,
                "networks": rows,
                "protocol": dict(protocol),
                "settings": dict(settings),
                "versions": dict(versions),
            }
            manifest = json.loads(json.dumps(manifest))
            manifest["digest"] = digest_of(manifest)
            _write(bundle, MANIFEST, (json.dumps(manifest, indent=1) + "\n").encode())
            _write(bundle, SCRIPT, measuring_script().encode())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return manifest


def versions_of(tool: str) -> dict[str, str]:
    """Returns the versions that a bundle is made with."""
    return {"ofa-search": tool, "torch": str(torch.__version__)}


def _put(
    bundle: zipfile.ZipFile, number: int, runtime: Portable, network: Network, needed: bool
) -> dict[str, dict[str, str]] | None:
    """Writes the files of a network; returns their names and digests by suffix, None where it is refused."""
    try:
        files = runtime.write(*network)
    except InvalidInput:
        if needed:
            raise
        return None
    written = {}
    for suffix, content in files.items():
        name = f"networks/{number:04d}.{suffix}"
        _write(bundle, name, content)
        written[suffix] = {"name": name, "sha256": hashlib.sha256(content).hexdigest()}
    return written


def _write(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    bundle.writestr(entry, content)


def _check_target(path: Path) -> None:
    if path.is_dir() or (path.exists() and not zipfile.is_zipfile(path)):
        raise InvalidInput(f"{path} is there and is no zip: name another file, such as {path.stem}-bundle.zip")


def is_sound(manifest: Any) -> bool:
    """Whether a value of JSON is the manifest that `write_bundle` returned."""
    return isinstance(manifest, dict) and manifest.get("kind") == KIND and manifest.get("digest") == digest_of(manifest)
