"""One file that reads .ofaz files with numpy alone, to be copied to a device."""

from __future__ import annotations

import ast
from pathlib import Path

PARTS = ("reader", "types", "words", "mixing", "matrix", "patterns", "file")  # in order of use
PACKAGE = "ofa.compress.decoding"
HEADER = '''"""Reads .ofaz files: `arrays, card = read("model.ofaz")`, or python3 decoder.py model.ofaz.

Made of the files of ofa/compress/decoding of ofa-search. It needs numpy; with the library constriction it is faster.
"""

from __future__ import annotations
'''


def decoder_source() -> str:
    """Returns the text of a Python file that reads .ofaz files where neither PyTorch nor this package is installed."""
    folder = Path(__file__).with_name("decoding")
    return "\n\n".join([HEADER, *(_body((folder / f"{name}.py").read_text(encoding="utf-8")) for name in PARTS)])


def _body(source: str) -> str:
    """A module without its docstring and its imports of the others."""
    lines = source.splitlines()
    for node in ast.parse(source).body:
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        if docstring or module == "__future__" or module.startswith(PACKAGE):
            last = node.end_lineno or node.lineno
            lines[node.lineno - 1 : last] = [""] * (last - node.lineno + 1)
    return "\n".join(lines).strip() + "\n"
