"""manifest.json of a bundle: its networks, and how to time them; also part of the script."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from search.device.standalone.files import content_checksum
from search.device.standalone.rounds import CLOCK_COLUMNS

MANIFEST = "manifest.json"
MANIFEST_KIND, MANIFEST_VERSION = "bundle", 2
MOST_MANIFEST_BYTES = 64 * 2**20
LARGEST_INPUT = 2**28  # numbers
NETWORK_FILE = re.compile(r"networks/[0-9]{4,}\.[a-z0-9_.]+")  # as write_bundle names them
MOST_VISITS = 10**9
LARGEST_COST = 2**62


class BundleDamaged(ValueError):
    """A bundle is damaged or incomplete; the message says what to do."""


def read_manifest(folder: Path) -> Any:
    """Returns the contents of manifest.json.

    Raises:
        BundleDamaged: it is missing or damaged, or newer than this script.
    """
    path = folder / MANIFEST
    try:
        if (not path.is_file() and path.exists()) or (path.is_file() and path.stat().st_size > MOST_MANIFEST_BYTES):
            raise ValueError
        manifest = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=object_of)
        kind, version = manifest["kind"], manifest["version"]
        damaged = manifest["checksum"] != content_checksum(manifest)
    except FileNotFoundError:
        raise BundleDamaged(f"{path} is missing: run measure.py in the unpacked bundle") from None
    except (ValueError, KeyError, TypeError, AttributeError, OSError, RecursionError):
        damaged, kind, version = True, None, None
    if damaged:
        raise BundleDamaged(f"{path} is damaged: unpack the bundle again")
    if (kind, version) != (MANIFEST_KIND, MANIFEST_VERSION):
        raise BundleDamaged(f"{path} has version {version} of a {kind}, and this script reads {MANIFEST_VERSION}")
    if not is_whole(manifest):
        raise BundleDamaged(f"{path} was edited: unpack the bundle again")
    return manifest


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Returns a JSON object from its pairs.

    Raises:
        ValueError: a key is there twice.
    """
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key is there twice")
    return value


def is_whole(manifest: Mapping[str, Any]) -> bool:
    """Whether a manifest has everything that this script reads, and names only files of the bundle."""
    lists: list[Any] = [manifest.get(key) for key in ("networks", "archs", "pieces", "widths", "macs")]
    if not all(isinstance(value, list) for value in lists):
        return False
    networks, archs, pieces, widths, macs = lists
    if not archs or len(networks) != len(archs) + len(pieces) + len(widths) + 1 or len(macs) != len(archs):
        return False
    named = all(isinstance(manifest.get(key), str) for key in ("digest", "loader"))
    settings = isinstance(manifest.get("options"), dict) and is_protocol(manifest.get("protocol"))
    numbers = all(is_amount(cost, LARGEST_COST) for cost in macs)
    if not (named and settings and numbers and all(map(is_network, networks))):
        return False
    return all(network["files"] for network in (*networks[: len(archs)], networks[-1]))  # parts may be refused


def is_protocol(protocol: Any) -> bool:
    """Whether a value is a valid protocol for timing networks."""
    if not isinstance(protocol, dict):
        return False
    visits, repeats, seed = (protocol.get(key) for key in ("visits", "repeats", "seed"))
    return (
        all(type(count) is int and 0 < count < MOST_VISITS for count in (visits, repeats))
        and (type(seed) is int and seed >= 0)
        and is_amount(protocol.get("seconds"), MOST_VISITS)
        and protocol.get("clock") in tuple(CLOCK_COLUMNS)
    )


def is_amount(value: Any, most: float) -> bool:
    """Whether a value is a valid time or cost."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < most


def is_network(network: Any) -> bool:
    """Whether a value describes the input and the files of a network, with all files inside the bundle."""
    if not isinstance(network, dict) or "files" not in network:
        return False
    shape, files = network.get("shape"), network.get("files")
    if (
        not isinstance(shape, list)
        or not 0 < len(shape) <= 8
        or not all(type(size) is int and size > 0 for size in shape)
    ):
        return False
    if math.prod(shape) > LARGEST_INPUT:
        return False
    named = files.values() if isinstance(files, dict) else [] if files is None else [None]
    return all(
        isinstance(file, dict)
        and isinstance(file.get("sha256"), str)
        and isinstance(file.get("name"), str)
        and NETWORK_FILE.fullmatch(file["name"]) is not None
        for file in named
    )
