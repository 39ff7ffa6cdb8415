"""The line of the user's own code that an error came from."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

import ofa

_PATHS = sysconfig.get_paths()
_OWN = Path(ofa.__file__).parent
_INSTALLED = (str(_OWN), str(_OWN.parent / "search"), _PATHS["stdlib"], _PATHS["platstdlib"], "<")


def user_line(error: BaseException) -> str | None:
    """Returns "file.py:12 `source`" of the innermost line in an error's traceback that is of no installed package.

    None: there is none.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_INSTALLED) and "site-packages" not in frame.filename:
            return f"{Path(frame.filename).name}:{frame.lineno}" + (f" `{frame.line}`" if frame.line else "")
    return None
