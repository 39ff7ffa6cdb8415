"""What is installed: every package, every config, and pins that agree with the dependencies."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    """Returns the normalized distribution names of requirements."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", line)[0]).lower() for line in requirements}


def pinned() -> list[str]:
    return [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]


def test_every_dependency_is_pinned() -> None:
    wanted = names(PROJECT["project"]["dependencies"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        wanted |= names(extra)
    assert wanted - {"ofa-search"} <= names(pinned())


def test_pins_are_exact_and_of_any_build() -> None:
    for line in pinned():
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*", line), line


def test_every_folder_with_code_is_a_package() -> None:
    for package in ("ofa", "search"):
        for file in (ROOT / package).rglob("*.py"):
            assert (file.parent / "__init__.py").is_file(), f"{file.parent} lacks __init__.py"
        assert (ROOT / package / "py.typed").is_file()


def test_conf_holds_configs_only() -> None:
    others = [path for path in (ROOT / "conf").rglob("*") if path.is_file() and path.suffix != ".yaml"]
    assert not [path for path in others if "__pycache__" not in path.parts]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Returns the names in a wheel built from a copy of the tree, by the setuptools that is installed."""
    copy = tmp_path_factory.mktemp("wheel") / "tree"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    (copy / "README.md").write_text("# A stand-in\n")
    for name in ("ofa", "search", "conf"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    deep = copy / "conf/device/a_new_folder"
    deep.mkdir(parents=True)
    (deep / "new.yaml").write_text("value: 1\n")
    build = [sys.executable, "-c", "from setuptools.build_meta import build_wheel as b; b('.')"]
    done = subprocess.run(build, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (file,) = copy.glob("*.whl")
    return zipfile.ZipFile(file).namelist()


def test_wheel_holds_every_config(wheel: list[str]) -> None:
    there = {name for name in wheel if name.startswith("search/conf/")}
    wanted = {f"search/conf/{path.relative_to(ROOT / 'conf')}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert there == wanted | {"search/conf/device/a_new_folder/new.yaml"}


def test_wheel_holds_every_module_and_nothing_else(wheel: list[str]) -> None:
    modules = {name for name in wheel if name.endswith(".py")}
    wanted = {str(path.relative_to(ROOT)) for top in ("ofa", "search") for path in (ROOT / top).rglob("*.py")}
    assert modules == wanted
    assert {"ofa/py.typed", "search/py.typed"} <= set(wheel)
    assert {name.split("/")[0] for name in wheel if ".dist-info/" not in name} == {"ofa", "search"}


def test_command_is_declared(wheel: list[str]) -> None:
    assert PROJECT["project"]["scripts"] == {"ofa": "search.app.main:main"}
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel)


def test_every_pinned_version_has_its_hashes() -> None:
    text = (ROOT / "constraints-hashed.txt").read_text()
    entries = re.findall(r"^([\w.-]+)==([^\s;]+)((?:.*\\\n)*.*)", text, re.MULTILINE)
    hashed = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version, _ in entries}
    versions = {name: line.partition("==")[2] for line in pinned() for name in names([line])}
    dependencies = names(PROJECT["project"]["dependencies"] + PROJECT["build-system"]["requires"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        dependencies |= names(extra)

    assert all("--hash=sha256:" in hashes for _, _, hashes in entries)
    assert dependencies - {"ofa-search"} <= hashed.keys(), "run make lock"
    assert {name: versions[name] for name in hashed.keys() & versions.keys()} == {
        name: version for name, version in hashed.items() if name in versions
    }, "run make lock"


def test_wheel_holds_the_page_of_the_studio(wheel: list[str]) -> None:
    page = {f"search/studio/page/{path.name}" for path in (ROOT / "search/studio/page").iterdir()}
    assert page and page <= set(wheel)
