"""Libraries and files that come from elsewhere: what is missing is said in one line."""

from __future__ import annotations

import importlib
import os
from typing import Any

from ofa.errors import InvalidInput

WEIGHTS = ("*.json", "*.safetensors", "*.bin")  # files that are downloaded; no code
SAFE = ("*.json", "*.safetensors")


def library(name: str) -> Any:
    """Returns a package that is an extra of this toolkit.

    Raises:
        InvalidInput: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        if error.name != name:
            raise InvalidInput(
                f"{name} cannot be imported: {one_line(error)}; pip install 'ofa-search[{name}]'"
            ) from None
        raise InvalidInput(f"this needs the package {name}: pip install 'ofa-search[{name}]'") from None
    except RuntimeError as error:  # compiled operators of another PyTorch
        raise InvalidInput(
            f"{name} cannot be imported with this PyTorch: {one_line(error)}; pip install 'ofa-search[{name}]' again"
        ) from None


def hub_folder(name: str, revision: str | None = None) -> str:
    """Returns the local folder of a model of the Hugging Face hub, downloaded unless it is in the cache.

    Raises:
        InvalidInput: no such name, or no network and not in the cache; with where it was looked for.
    """
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise InvalidInput(f"name={name!r} is no folder here, nor a name of the hub, such as gpt2 or owner/model")
    hub = library("huggingface_hub")
    try:
        files = hub.HfApi().list_repo_files(name, revision=revision) if not offline() else []
        wanted = SAFE if any(file.endswith(".safetensors") for file in files) else WEIGHTS
        return str(hub.snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
    except Exception as error:  # whatever the hub and the network raise; the cache may still have it
        try:
            return str(hub.snapshot_download(name, revision=revision, local_files_only=True))
        except Exception:
            raise not_fetched(
                f"{name} is no folder here, and", f"https://huggingface.co/{name}", error, "the path of a local folder"
            ) from error


def not_fetched(name: str, address: str, error: Exception, instead: str) -> InvalidInput:
    """Returns the error of a download that failed, with where the file was looked for and what to do."""
    from_cache = os.environ.get("HF_HOME", "~/.cache/huggingface")
    why = "HF_HUB_OFFLINE is set" if offline() else one_line(error)
    return InvalidInput(
        f"{name} is neither in the cache ({from_cache}) nor could it be fetched from {address} ({why}): "
        f"check name and network, or give {instead}"
    )


def offline() -> bool:
    """Returns whether the environment forbids downloads."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def one_line(error: BaseException) -> str:
    """Returns the first line of an error's message, not too long."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "") or type(error).__name__
    return text if len(text) <= 160 else f"{text[:157]}..."
