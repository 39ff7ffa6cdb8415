"""The manifest of a bundle, stored in the run until the import, and the stand-in for a network's weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from msgspec import Meta, structs
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.computed_weights import plain_copy
from ofa.errors import InvalidInput
from ofa.records import (
    AtLeastOne,
    Count,
    Name,
    NotNegative,
    Object,
    Part,
    Record,
    Text,
    content_of,
    convert,
    read_record,
)
from search.device.latency.pieces import PlacedPiece
from search.device.profile_record import BundleDigest, Shape
from search.device.standalone.manifest import MANIFEST_KIND, MANIFEST_VERSION

Purpose = Literal["profile", "finalists"]


class NetworkFile(Part, frozen=True, kw_only=True):
    """A file of a network in the zip."""

    name: Name
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class BundledNetwork(Part, frozen=True, kw_only=True):
    """A network of a bundle: the shape of its input, and its files by suffix; None where the runtime refuses it."""

    shape: Shape
    files: Mapping[str, NetworkFile] | None


class BundleProtocol(Part, frozen=True, kw_only=True):
    """How the networks are to be measured; `seconds` is the time after which no visits are added."""

    clock: Literal["wall", "cpu"]
    visits: AtLeastOne
    repeats: AtLeastOne
    seconds: NotNegative
    seed: Count


class BundleManifest(Record, frozen=True, kw_only=True):
    """The contents of a bundle: subnets, then blocks, probes and the sentinel.

    Attributes:
        purpose: whether a device is profiled or a search's finalists are measured.
        loader: the name in `search.device.standalone.loaders` of the loader that runs the files, with its options.
        space: the digest of the space.
        macs: multiply-accumulates of the subnets.
        settings: what the measurement belongs to, checked when it is imported.
    """

    KIND: ClassVar[str] = MANIFEST_KIND
    VERSION: ClassVar[int] = MANIFEST_VERSION
    REMEDY: ClassVar[str] = "write a bundle and measure it again: ofa profile with bundle=device.zip"

    digest: BundleDigest
    purpose: Purpose
    device: Name
    loader: Name
    options: Object
    space: Text
    input_shape: Shape
    archs: Annotated[tuple[Arch, ...], Meta(min_length=1)]
    macs: tuple[Count, ...]
    pieces: tuple[PlacedPiece, ...]
    widths: tuple[AtLeastOne, ...]
    sentinel: Text
    networks: tuple[BundledNetwork, ...]
    protocol: BundleProtocol
    settings: Object
    versions: Mapping[str, Text]


def digest_of(manifest: BundleManifest) -> str:
    """Returns 16 hex digits of a manifest's content without its digest."""
    content = {key: value for key, value in content_of(manifest).items() if key != "digest"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def with_digest(manifest: BundleManifest) -> BundleManifest:
    """Returns the manifest with its digest, as it will be read back."""
    content = json.loads(json.dumps(content_of(manifest), allow_nan=False))
    read: BundleManifest = convert(content, BundleManifest, "the manifest")
    return structs.replace(read, digest=digest_of(read))


def read_manifest(path: Path) -> BundleManifest:
    """Returns the manifest in `path`, whose name is its digest.

    Raises:
        InvalidInput: the file is missing, damaged, edited or of another bundle, or its parts do not fit together.
    """
    manifest = read_record(path, BundleManifest)
    if not manifest.digest == digest_of(manifest) == path.stem:
        raise InvalidInput(f"{path} is of bundle {manifest.digest}: {BundleManifest.REMEDY}")
    archs, parts = len(manifest.archs), len(manifest.pieces) + len(manifest.widths)
    if len(manifest.macs) != archs or len(manifest.networks) != archs + parts + 1:
        raise InvalidInput(
            f"{path} is damaged ({len(manifest.networks)} networks and {len(manifest.macs)} costs for {archs} "
            f"subnets, {parts} parts and a sentinel); {BundleManifest.REMEDY}"
        )
    return manifest


PERIOD = 127  # a prime, so that rows of weights differ; half a kilobyte, which a zip compresses well
SCALES = (1.0, 0.1, 0.0)  # for tensors with negative numbers, tried in turn if activations overflow


def stand_in(net: nn.Module, example_input: Tensor) -> nn.Module:
    """Returns a copy of `net` in eval mode whose every tensor is a repeating pattern of its mean and deviation.

    It takes the same time, which does not depend on the values of ordinary numbers, and compresses well. A tensor
    without negative numbers, such as a variance, becomes constant.

    Raises:
        InvalidInput: its output for `example_input` is not finite with any pattern.
    """
    for scale in SCALES:
        copied = plain_copy(net).to("cpu").eval()
        tensors = [tensor for tensor in chain(copied.parameters(), copied.buffers()) if tensor.is_floating_point()]
        with torch.no_grad():
            for number, tensor in enumerate(tensors):
                _replace(tensor, number, scale)
            result = copied(example_input.detach().cpu())
        if bool(torch.isfinite(result).all()):
            return copied
    raise InvalidInput(f"{type(net).__name__} returns NaN or infinity with stand-ins for its weights")


def _replace(tensor: Tensor, number: int, scale: float) -> None:
    mean, deviation = tensor.mean(), tensor.std(correction=0)
    if not bool(torch.isfinite(mean)) or not bool(torch.isfinite(deviation)):
        return  # such as a mask of infinities
    if bool((tensor >= 0).all()):
        tensor.fill_(mean.item())
        return
    # Shifted for each tensor: an exporter stores equal tensors once, and their memory affects the time.
    pattern = np.roll(_pattern(), -37 * number)
    values = torch.from_numpy(np.resize(pattern, tensor.numel())).to(tensor.dtype).reshape(tensor.shape)
    tensor.copy_(scale * (mean + deviation * values))


def _pattern() -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """Normally distributed numbers with mean 0 and deviation 1."""
    drawn = np.random.default_rng(0).standard_normal(PERIOD)
    pattern: np.ndarray[tuple[int], np.dtype[np.float32]] = ((drawn - drawn.mean()) / drawn.std()).astype(np.float32)
    return pattern
