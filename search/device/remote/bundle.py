"""Bundles: a zip of networks, a manifest and one script that measures them on a machine without this toolkit."""

from __future__ import annotations

import ast
import hashlib
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ofa._cost import cost
from ofa.errors import InvalidInput
from ofa.paths import atomic_file
from ofa.records import Object, content_of
from search.device.latency.sample import Sample
from search.device.measuring import MeasureStep, Network, Progress
from search.device.remote.manifest import (
    BundledNetwork,
    BundleManifest,
    BundleProtocol,
    NetworkFile,
    Purpose,
    stand_in,
    with_digest,
)
from search.device.runtime import RUNTIMES, Portable, Runtime, simplest
from search.device.standalone.files import record_text
from search.device.standalone.loaders import LOADERS
from search.device.standalone.manifest import MANIFEST, MANIFEST_KIND, MANIFEST_VERSION
from search.device.timing import SENTINEL_NAME, sentinel

if TYPE_CHECKING:
    from ofa.supernet import Supernet

PACKAGE = "search.device.standalone"
PARTS = (
    "machine",
    "rounds",
    "files",
    "libraries",
    "loaders",
    "manifest",
    "script",
)  # in order of use
HEADER = '''"""Times the networks of this bundle: python3 measure.py (--help shows its options).

Made of the files of search/device/standalone of ofa-search. It needs Python 3.9 or newer, NumPy and the runtime that
manifest.json names, and reads and writes files beside itself alone.
"""

from __future__ import annotations

import sys

if sys.version_info < (3, 9):
    sys.exit("measure.py: Python 3.9 or newer is needed")
try:
    import numpy as np
except ImportError:
    sys.exit("measure.py: NumPy is needed: pip install numpy")
'''


def measuring_script() -> str:
    """Returns the text of measure.py."""
    folder = Path(__file__).parents[1] / "standalone"
    return merge([(folder / f"{name}.py").read_text(encoding="utf-8") for name in PARTS])


def merge(sources: Sequence[str]) -> str:
    """Returns several Python files merged into one that stands alone.

    Their imports of each other and from `__future__` are dropped, and so are their module docstrings.
    """
    return "\n\n".join([HEADER, *map(_body, sources)])


def _body(source: str) -> str:
    lines = source.splitlines()
    for node in ast.parse(source).body:
        if _is_docstring(node) or _is_dropped(node):
            lines[node.lineno - 1 : node.end_lineno] = [""] * ((node.end_lineno or node.lineno) - node.lineno + 1)
    return "\n".join(lines).strip() + "\n"


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_dropped(node: ast.stmt) -> bool:
    if not isinstance(node, ast.ImportFrom):
        return False
    module = node.module or ""
    return module == "__future__" or module == PACKAGE or module.startswith(f"{PACKAGE}.")


UNSIGNED = "0" * 16  # the digest of a manifest before it is computed
SCRIPT = "measure.py"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the date of every file, so that the same networks give the same zip


def portable(runtime: Runtime) -> Portable:
    """Returns the runtime as one whose networks are files.

    Raises:
        InvalidInput: its networks are not files; the message names the runtimes that qualify.
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
    purpose: Purpose,
    protocol: BundleProtocol,
    settings: Object,
    versions: Mapping[str, str],
    progress: Progress | None = None,
) -> BundleManifest:
    """Returns the manifest of a bundle after writing the bundle to `path`, completely or not at all.

    A piece or a probe that the runtime cannot write is left out. The weights are stand-ins.

    Args:
        purpose: whether a device is profiled or finalists are measured.
        settings: what the measurement belongs to, checked when it is imported.
        progress: called after every network.

    Raises:
        InvalidInput: a subnet cannot be written, or `path` is a file that is not a zip.
    """
    _check_target(path)
    items = sample.items
    example = supernet.inputs.only
    if example is None or not example.is_floating_point():
        raise InvalidInput(
            f"{type(supernet.model).__name__} takes {supernet.inputs.shapes}; a bundle measures networks of one "
            "floating-point tensor: run `ofa profile` on the device itself"
        )
    example = example[:1]
    trained = len(items.archs) + len(items.pieces)
    networks: list[Network] = [*sample.nets, *sample.parts, sentinel()]
    rows: list[BundledNetwork] = []
    with atomic_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for number, (net, network_input) in enumerate(networks):
            assert isinstance(network_input, torch.Tensor)  # as the supernet's input is
            needed = number < len(items.archs) or number == len(networks) - 1
            plain = (stand_in(net, network_input) if number < trained else net, network_input)
            files = _put(bundle, number, runtime, plain, needed)
            rows.append(BundledNetwork(shape=tuple(network_input.shape), files=files))
            if progress:
                progress(MeasureStep("load", number + 1, len(networks)))
        manifest = with_digest(
            BundleManifest(
                digest=UNSIGNED,
                purpose=purpose,
                device=device,
                loader=runtime.loader,
                options=dict(runtime.options),
                space=supernet.space.digest,
                input_shape=tuple(example.shape),
                archs=items.archs,
                macs=tuple(cost(supernet, items.archs)["macs"].tolist()),
                pieces=items.pieces,
                widths=items.widths,
                sentinel=SENTINEL_NAME,
                networks=tuple(rows),
                protocol=protocol,
                settings=settings,
                versions=versions,
            )
        )
        _write(bundle, MANIFEST, record_text(MANIFEST_KIND, MANIFEST_VERSION, content_of(manifest)).encode())
        _write(bundle, SCRIPT, measuring_script().encode())
    return manifest


def versions_of(tool: str) -> dict[str, str]:
    """Returns the versions of the tools that a bundle is made with."""
    return {"ofa-search": tool, "torch": str(torch.__version__)}


def _put(
    bundle: zipfile.ZipFile, number: int, runtime: Portable, network: Network, needed: bool
) -> dict[str, NetworkFile] | None:
    """Writes a network's files into the zip; returns their names and digests by suffix, None if it is refused."""
    try:
        net, example = network
        files = runtime.write(net, simplest(example))
    except InvalidInput:
        if needed:
            raise
        return None
    written = {}
    for suffix, content in files.items():
        name = f"networks/{number:04d}.{suffix}"
        _write(bundle, name, content)
        written[suffix] = NetworkFile(name=name, sha256=hashlib.sha256(content).hexdigest())
    return written


def _write(bundle: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    bundle.writestr(entry, content)


def _check_target(path: Path) -> None:
    if path.is_dir() or (path.exists() and not zipfile.is_zipfile(path)):
        raise InvalidInput(f"{path} is there and is no zip: name another file, such as {path.stem}-bundle.zip")
