"""Libraries of other people that a network comes from: imported when they are used, quiet, and without a network."""

from __future__ import annotations

import importlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

from ofa.errors import InvalidInput

ENDPOINT = "https://huggingface.co"
LONGEST = 160  # characters of a reason


def library(name: str) -> Any:
    """Returns a package that is an extra of this toolkit.

    Raises:
        InvalidInput: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError) as error:  # not there, or with operators compiled for another PyTorch
        raise InvalidInput(
            f"this needs the package {name} ({one_line(error)}): pip install 'ofa-search[{name}]'"
        ) from None


def endpoint() -> str:
    """Returns the address of the Hugging Face hub, or of the mirror that HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT") or ENDPOINT


def offline() -> bool:
    """Returns whether the hub cannot be reached: HF_HUB_OFFLINE forbids it, or its name is not known here."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return True
    if getproxies().keys() & {"https", "all"}:  # the proxy knows more names
        return False
    try:
        socket.getaddrinfo(urlparse(endpoint()).hostname, 443)
    except OSError:
        return True
    return False


@contextmanager
def quiet(package: Any) -> Iterator[None]:
    """Keeps transformers from printing bars and warnings in the block: what matters is said by this toolkit."""
    logging = package.utils.logging
    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def one_line(error: BaseException) -> str:
    """Returns the first line of an error's message, not too long."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "") or type(error).__name__
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."
