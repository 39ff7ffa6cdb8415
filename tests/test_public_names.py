"""What `ofa` and `search` show: their public names alone, and no module behind a function of its name."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import ofa
import search

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "ofa",
    "search",
    *(
        found.name
        for package in (ofa, search)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if found.ispkg
    ),
]


@pytest.mark.parametrize("name", PACKAGES)
def test_no_module_is_hidden_by_a_function_of_its_name(name: str) -> None:
    package = importlib.import_module(name)
    for found in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{name}.{found.name}")
        assert isinstance(getattr(package, found.name), ModuleType), f"{name}.{found.name} cannot be reached"


def test_ofa_shows_its_public_names_alone() -> None:
    code = "import ofa; print(*dir(ofa))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert shown.split() == sorted([*ofa.__all__, "compress", "data", "models", "prune", "start", "task", "train"])
    assert all(getattr(ofa, name) is not None for name in dir(ofa))


def test_search_shows_its_functions_alone_and_imports_nothing_for_them() -> None:
    code = "import sys, search; print(*dir(search)); print({'torch', 'optuna', 'hydra', 'rich'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True).stdout
    assert shown.splitlines() == ["adopt find load profile", "set()"]
    assert all(callable(getattr(search, name)) for name in dir(search))
    with pytest.raises(AttributeError, match="has no attribute 'fnd'"):
        getattr(search, "fnd")  # noqa: B009


def test_packages_were_found() -> None:
    assert {"ofa.prune.criteria", "search.device.runtimes"} <= set(PACKAGES)
