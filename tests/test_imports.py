"""Imports go one way: `search` may import `ofa`, never back; `ofa` needs no Hydra and no Optuna."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OFA = sorted((ROOT / "ofa").rglob("*.py"))
FORBIDDEN = {"search", "hydra", "omegaconf", "optuna", "plotly", "rich", "onnxruntime"}
MODELS_MAY_USE = {"ofa.errors", "ofa.models"}


def imported(path: Path) -> set[str]:
    """Returns the dotted names of every import of a file, wherever in it they stand."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add("." * node.level + (node.module or ""))
    return names


@pytest.mark.parametrize("path", OFA, ids=lambda path: str(path.relative_to(ROOT)))
def test_ofa_imports_nothing_above_it(path: Path) -> None:
    tops = {name.split(".")[0] for name in imported(path)}
    assert not tops & FORBIDDEN


@pytest.mark.parametrize("path", sorted((ROOT / "ofa/models").glob("*.py")), ids=lambda path: path.name)
def test_models_are_ordinary_modules(path: Path) -> None:
    for name in imported(path):
        if name.split(".")[0] == "ofa":
            assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in MODELS_MAY_USE), name


@pytest.mark.parametrize("package", ["ofa", "search"])
def test_imports_are_absolute(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not any(name.startswith(".") for name in imported(path)), path


def test_the_checker_sees_imports_inside_functions(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from search.study import run\n    import optuna.samplers\n")
    assert imported(file) == {"search.study", "optuna.samplers"}


def test_ofa_loads_without_the_libraries_of_search() -> None:
    program = (
        "import sys\n"
        f"blocked = {sorted(FORBIDDEN | {'datasets', 'PIL'})!r}\n"
        "sys.modules.update({name: None for name in blocked})\n"
        "import ofa, ofa.data, ofa.models\n"
        "ofa.data.digits()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


def test_packages_come_with_their_first_use() -> None:
    code = "import sys, ofa; assert 'ofa.prune' not in sys.modules; print(ofa.prune.Pruner, ofa.train.train)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0 and "Pruner" in done.stdout, done.stderr
    code = "import ofa; ofa.prun"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "has no attribute 'prun'" in done.stderr
