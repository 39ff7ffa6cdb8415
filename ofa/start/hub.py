"""Downloads from the Hugging Face hub: what fails is said in one line, with where it was looked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ofa.errors import InvalidInput
from ofa.models.library import endpoint, library, offline, one_line

WEIGHTS = ("*.json", "*.safetensors", "*.bin")  # files that are downloaded; no code
SAFE = ("*.json", "*.safetensors")


def hub_folder(name: str, revision: str | None = None) -> str:
    """Returns the local folder of a model of the Hugging Face hub, downloaded unless it is in the cache.

    Raises:
        InvalidInput: no such name, or no network and not in the cache; with where it was looked for.
    """
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise InvalidInput(f"name={name!r} is no folder here, nor a name of the hub, such as gpt2 or owner/model")
    hub = library("huggingface_hub")
    away = offline()
    try:
        files = [] if away else hub.HfApi().list_repo_files(name, revision=revision)
        wanted = SAFE if any(file.endswith(".safetensors") for file in files) else WEIGHTS
        return str(hub.snapshot_download(name, revision=revision, allow_patterns=list(wanted), local_files_only=away))
    except Exception as error:  # whatever the hub and the network raise
        raise not_fetched(f"{name} is no folder here, and", name, error, "the path of a local folder") from error


def not_fetched(subject: str, name: str, error: Exception, instead: str) -> InvalidInput:
    """Returns the error of a download that failed, with where the file was looked for and what to do."""
    from_cache = os.environ.get("HF_HOME", "~/.cache/huggingface")
    why = "there is no network, or HF_HUB_OFFLINE forbids it" if offline() else one_line(error)
    return InvalidInput(
        f"{subject} is neither in the cache ({from_cache}) nor could it be fetched from {endpoint()}/{name} ({why}): "
        f"check name and network, or give {instead}"
    )


@contextmanager
def cache_alone() -> Iterator[None]:
    """Keeps the hub's library from trying the network again and again in the block, where there is none."""
    constants: Any = library("huggingface_hub").constants
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or offline()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
