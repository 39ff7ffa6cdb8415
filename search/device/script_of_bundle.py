"""The one stand-alone script of a bundle, made of the files in `search.device.standalone`."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

PACKAGE = "search.device.standalone"
PARTS = ("agreement", "rounds", "journal", "machine", "loaders", "script")  # each after those that it uses
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
    folder = Path(__file__).parent / "standalone"
    return merge([(folder / f"{name}.py").read_text(encoding="utf-8") for name in PARTS])


def merge(sources: Sequence[str]) -> str:
    """Returns Python files as one that needs none of them.

    What they import of each other, and of the future, is dropped; so are their docstrings.
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
