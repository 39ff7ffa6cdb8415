"""Imports go one way: `search` may import `ofa`, never back; `ofa` needs no Hydra and no Optuna."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OFA = sorted((ROOT / "ofa").rglob("*.py"))
FORBIDDEN = {"search", "hydra", "omegaconf", "optuna", "plotly", "rich", "onnxruntime"}
# A module of `ofa` imports from its own room and from lower floors, for type checking too.
OFA_FLOORS = (
    "cures errors modes norms randomize",
    "computed_weights inputs kernel_transforms one_of precisions processes",
    "arrays collapse fill input_record models paths plain_network quantization spectral_norms task",
    "loggers weights_file records data compress recipes _calibrate _evaluate",
    "arch",
    "choice resolution",
    "space structure",
    "rules views",
    "cost_terms layer_report memory trial",
    "supernet",
    "calibration_size checkpoint _cost peak_memory sorting",
    "importance",
    "block_importance",
    "data_file fingerprint identity inspection",
    "saving start",
    "prune",
    "train",
)
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


@pytest.mark.parametrize("path", OFA, ids=lambda path: str(path.relative_to(ROOT)))
def test_ofa_imports_from_lower_floors(path: Path) -> None:
    if path == ROOT / "ofa/__init__.py":
        return
    floor = {room: number for number, rooms in enumerate(OFA_FLOORS) for room in rooms.split()}
    room = path.relative_to(ROOT / "ofa").parts[0].removesuffix(".py")
    others = {other for name in imported(path) for package, _, other in [name.partition(".")] if package == "ofa"}
    rooms = {other.split(".")[0] for other in others} - {room}
    assert all(floor[other] < floor[room] for other in rooms), (room, rooms)


@pytest.mark.parametrize("package", ["ofa", "search"])
def test_no_circle_of_modules(package: str) -> None:
    paths = (ROOT / package).rglob("*.py")
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    graph = {}
    for module, path in modules.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        names = [(node.module, f"{node.module}.{alias.name}") for node in nodes for alias in node.names]
        graph[module] = {full if full in modules else parent for parent, full in names} & modules.keys()
    graphlib.TopologicalSorter(graph).prepare()  # raises where modules import each other


@pytest.mark.parametrize("path", sorted((ROOT / "ofa/models").glob("*.py")), ids=lambda path: path.name)
def test_models_are_ordinary_modules(path: Path) -> None:
    for name in imported(path):
        if name.split(".")[0] == "ofa":
            assert any(name == allowed or name.startswith(f"{allowed}.") for allowed in MODELS_MAY_USE), name


@pytest.mark.parametrize("package", ["ofa", "search"])
def test_imports_are_absolute(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        assert not any(name.startswith(".") for name in imported(path)), path


FLOORS = (  # of `search`, from below: a room imports only rooms before it
    *("run", "objects", "candidates", "text", "engine", "config", "training", "device", "networks", "samplers"),
    *("pruning", "evaluation", "experiments", "study", "subnets", "compression", "analysis", "report", "studio"),
    *("app", "door"),
)


def room_of(name: str) -> str:
    """Returns the room of a module of `search`, a top-level module being its own."""
    return name.split(".")[1] if "." in name else ""


def test_rooms_of_search_import_lower_floors_alone() -> None:
    for path in (ROOT / "search").rglob("*.py"):
        room = room_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        if room == "__init__":
            continue
        for name in imported(path):
            if name.startswith("search."):
                assert FLOORS.index(room_of(name)) <= FLOORS.index(room), f"{path.relative_to(ROOT)} imports {name}"


def test_files_are_short() -> None:
    folders = ("ofa", "search", "tests", "benchmarks")
    lengths = {path: path.read_text().count("\n") for folder in folders for path in (ROOT / folder).rglob("*.py")}
    assert not {str(path): length for path, length in lengths.items() if length > 250}


def test_nothing_of_search_is_loose() -> None:
    loose = {path.name for path in (ROOT / "search").glob("*.py")}
    assert loose == {"__init__.py", "objects.py", "text.py"}


OPTUNA_INTERNALS = {"_study_id", "_trial_id", "_get_stale_trial_ids", "_filter_study", "_thread_local"}


def optuna_internals(path: Path) -> set[str]:
    """Returns what a file uses of Optuna that is not public."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("optuna"):
            dotted = [f"{node.module}.{alias.name}" for alias in node.names]
            names |= {name for name in dotted if any(part.startswith("_") for part in name.split("."))}
        elif isinstance(node, ast.Attribute):
            own = isinstance(node.value, ast.Name) and node.value.id == "self"
            if node.attr in OPTUNA_INTERNALS or (node.attr == "_storage" and not own):
                names.add(node.attr)
    return names


def test_what_is_private_in_optuna_is_used_in_one_module() -> None:
    users = {path.relative_to(ROOT).as_posix() for path in (ROOT / "search").rglob("*.py") if optuna_internals(path)}
    assert users == {"search/candidates/optuna_internals.py"}


def test_the_checker_sees_imports_inside_functions(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("def f():\n    from search.study.study import run\n    import optuna.samplers\n")
    assert imported(file) == {"search.study.study", "optuna.samplers"}


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
    code = "import sys, ofa; assert 'ofa.prune' not in sys.modules; print(ofa.prune.Pruner, ofa.train.train); ofa.prun"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert "Pruner" in done.stdout and "has no attribute 'prun'" in done.stderr
