"""The programs of README.md and docs/ name what there is, and those of the tutorials run."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.documentation import PAGES, ROOT, blocks, indented, named_files, page_name, write_programs

# Names that the programs of a page take from the reader, who has a model and data.
MODEL = {
    "model",
    "example_input",
    "x",
    "y",
    "loader",
    "loss_fn",
    "optimizer",
    "rng",
    "arch",
    "archs",
    "supernet",
    "data",
}
GIVEN = {
    "README.md": MODEL,
    "docs/concepts.md": MODEL,
    "docs/compression.md": set(),
    "docs/joint_search.md": {"archs", "settings", "accuracies", "searched"},
    "docs/latency.md": set(),
    "docs/many_machines.md": MODEL | {"settings", "train", "sandwich", "batch", "number", "steps", "task"},
    "docs/pruning.md": MODEL | {"first_batches", "scheduler", "batches", "dense"},
    "docs/python.md": MODEL | {"network", "images", "labels", "MyNet"},
    "docs/regularization.md": MODEL | {"loss"},
    "docs/training.md": MODEL | {"strategy", "settings"},
    "docs/your_model.md": MODEL | {"MyNet", "weights", "self", "Zero", "nn", "partial", "batches", "loss_of"},
    "docs/your_task.md": MODEL | {"ofa", "search", "settings", "train", "sandwich", "yolo_loss", "detections"},
}
USUAL = {"ofa": "ofa", "search": "search", "torch": "torch", "np": "numpy"}  # imported by an earlier page
WITH_PROGRAMS = [path for path in PAGES if blocks(path, "python")]


@pytest.mark.parametrize("path", WITH_PROGRAMS, ids=page_name)
def test_programs_name_what_there_is(path: Path) -> None:
    given = GIVEN.get(page_name(path), set()) | {*USUAL} | {*dir(builtins)}
    trees = [ast.parse(block) for block in blocks(path, "python")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    modules = {name: importlib.import_module(module) for name, module in USUAL.items()}
    known: dict[str, Any] = dict(modules)
    made = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("ofa", "search", "torch"):
            known |= {alias.asname or alias.name: attribute(f"{node.module}.{alias.name}") for alias in node.names}
        if isinstance(node, ast.Import | ast.ImportFrom):
            made |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            made.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            made.add(node.name)
        elif isinstance(node, ast.arg):
            made.add(node.arg)
    used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    assert used <= made | given, f"{path}: nobody makes {used - made - given}"
    for node in nodes:
        if isinstance(node, ast.Attribute):
            found(node, known)
        if isinstance(node, ast.Call) and (called := found(node.func, known)) is not None:
            taken = inspect.signature(called).parameters
            if not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
                assert {word.arg for word in node.keywords if word.arg} <= {*taken}, ast.unparse(node)


def found(node: ast.expr, known: dict[str, Any]) -> Any:
    """Returns the object of this package that an expression names, None where it names another thing."""
    if isinstance(node, ast.Name):
        value = known.get(node.id)
        return (
            value if inspect.ismodule(value) or getattr(value, "__module__", "").startswith(("ofa", "search")) else None
        )
    if isinstance(node, ast.Attribute) and inspect.ismodule(owner := found(node.value, known)):
        value = getattr(owner, node.attr)  # an AttributeError is what this test looks for
        ours = (value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None) or "").startswith(
            ("ofa", "search")
        )
        return value if ours else None
    return None


def attribute(dotted: str) -> Any:
    """Returns what a dotted name names."""
    module, _, name = dotted.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError:
        return getattr(attribute(module), name)
    except AttributeError:
        return importlib.import_module(dotted)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_sentences_name_what_there_is(path: Path) -> None:
    rooms = "|".join(
        sorted(folder.name for folder in (ROOT / "search").iterdir() if (folder / "__init__.py").is_file())
    )
    for name in re.findall(rf"`((?:ofa|search\.(?:{rooms}))(?:\.\w+)+)(?:\([^`]*)?`", path.read_text()):
        if not name.startswith("search.device.") or name.split(".")[2] in os.listdir(ROOT / "search/device"):
            attribute(name)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Returns a function that runs a script in one folder, where `ofa` and `python3` are this installation's."""
    folder, programs = tmp_path_factory.mktemp("tutorials"), tmp_path_factory.mktemp("bin")
    write_programs(programs)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{folder}",
        "OMP_NUM_THREADS": "1",
    }

    def run(script: str) -> str:
        command = ["bash", "-ec", script]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    return run


def page(name: str) -> Path:
    """Returns a tutorial."""
    return ROOT / f"docs/tutorials/{name}.md"


def scripted(name: str, leave_out: str = "#") -> list[str]:
    """Returns the commands of a tutorial's indented blocks."""
    return [line for line in indented(page(name)) if leave_out not in line]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # a minute and a half of processor time, and a machine may be busy
def test_a_model_and_a_device_of_ones_own(shell: Callable[[str], str]) -> None:
    shell("".join(f"mkdir -p $(dirname {name})\ncat >{name} <<'END'\n{text}END\n"
                  for name, text in named_files(page("your_model")).items()))  # fmt: skip
    for command in scripted("your_model", leave_out="my_images"):
        shell(command)
    shell("\n".join(scripted("your_device")))
    shell("mkdir -p outputs/main && cp -r outputs/mine/subnets outputs/main")
    (program,) = blocks(page("first_subnet"), "python")
    lines = shell(f"python3 - <<'END'\n{program}END").splitlines()
    assert len(lines) == 2 and all(float(line.split()[1]) < 1e-3 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pruning", "compress"])
def test_programs_of_tutorials_run(name: str, shell: Callable[[str], str]) -> None:
    program = "\n".join(blocks(page(name), "python"))
    said = shell(f"python3 - <<'END'\n{program}END")
    assert ("test accuracy" if name == "pruning" else "bytes in place of") in said
