"""What README.md and docs/ say to type can be typed: commands compose, programs name what there is, tutorials run."""

from __future__ import annotations

import ast
import builtins
import importlib
import inspect
import itertools
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict

from ofa.errors import InvalidInput
from search.app.main import VERBS
from search.config.read import read_request
from search.config.verbs import REQUESTS
from tests.composed import composed
from tests.documentation import (
    PAGES,
    PROGRAMS,
    ROOT,
    Command,
    blocks,
    commands,
    every_command,
    indented,
    named_files,
    page_name,
)

# Lines of indented blocks that are no command, by how they begin.
NO_COMMANDS = {
    "README.md": ("# imbalanced: ",),  # a comment that goes on
    "docs/commands.md": ("my_conf/", "# with", "profile: widths"),  # files, each with what it holds; what a verb prints
    "docs/concepts.md": ("propose(", "best trials"),  # a drawing
    "docs/data.md": ("data: my_images", "added; "),  # what a verb prints
    "docs/latency.md": ("profile: ",),
    "docs/pruning.md": ("criterion ->",),  # a drawing
    "docs/your_model.md": ("layer  ", "body.", "blocks.", "head  ", "file calls only"),  # what a verb prints
}
# Commands that are neither composed nor looked up, with the reason.
EXCEPTIONS = {
    "unzip": "run by the tests of other machines (tests/search/app/test_remote_device.py)",
    "python3": "measure.py of a bundle: run there too",
    "mkdir": "a shell's own, run with its tutorial",
    "cd": "a shell's own, run with its tutorial",
    "source": "a shell's own",
    "torchrun": "its processes are started by the tests of trainings on several",
    ".ci/run": "runs these tests",
}
PLACEHOLDER = re.compile(r"\.\.\.|=NAME\b")  # of a sentence: something is to be put there
FLAGS = ("--multirun", "--help", "--version", "--cfg", "job")

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
    "docs/pruning.md": MODEL | {"first_batches", "scheduler", "batches", "dense"},
    "docs/python.md": MODEL | {"network", "images", "labels", "MyNet"},
    "docs/regularization.md": MODEL | {"loss"},
    "docs/training.md": MODEL | {"strategy", "settings"},
    "docs/your_model.md": MODEL | {"MyNet", "weights", "self", "Zero", "nn", "partial", "batches", "loss_of"},
    "docs/your_task.md": MODEL | {"ofa", "search", "settings", "train", "sandwich", "yolo_loss", "detections"},
}
USUAL = {"ofa": "ofa", "search": "search", "torch": "torch", "np": "numpy"}  # imported by an earlier page
WITH_PROGRAMS = [path for path in PAGES if blocks(path, "python")]


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_indented_lines_are_commands_or_known_as_none(path: Path) -> None:
    others = NO_COMMANDS.get(page_name(path), ())
    left = [line for line in indented(path) if line.split()[0] not in PROGRAMS and not line.strip().startswith(others)]
    assert not left, "a command of a new program, or another thing: see NO_COMMANDS"


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the configs of the reader that the pages show or name."""
    folder = tmp_path_factory.mktemp("reader")
    device = (ROOT / "conf/device/onnxruntime.yaml").read_text().replace("name: onnxruntime", "name: laptop")
    files = {
        "my_conf/data/flowers.yaml": "dataset: {_target_: ofa.data.hub, path: /data/flowers, label_column: class}\n"
        "defaults: [_self_, augment: null]\n",
        "my_conf/device/laptop.yaml": device,
    }
    for path in PAGES:
        files |= {name: text for name, text in named_files(path).items() if name.startswith("my_conf/")}
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder / "my_conf"


def overrides_of(words: list[str]) -> list[list[str]]:
    """Returns the overrides of a command: the first and the last job of a multirun."""
    words = [word for before, word in itertools.pairwise(["", *words])
             if word not in FLAGS and "--config-dir" not in (before, word)]  # fmt: skip
    parsed = OverridesParser.create().parse_overrides(words)
    jobs = []
    for end in (0, -1):
        job = []
        for word, override in zip(words, parsed, strict=True):
            choices = list(override.sweep_string_iterator()) if override.is_sweep_override() else []
            job.append(f"{override.get_key_element()}={choices[end]}" if choices else word)
        jobs.append(job)
    return jobs if jobs[0] != jobs[1] else jobs[:1]


OFA = [command for command in every_command("ofa") if not PLACEHOLDER.search(command.line) or "    " in command.line]


@pytest.mark.slow
@pytest.mark.parametrize("command", OFA, ids=str)
def test_commands_compose_into_a_request(command: Command, configs: Path) -> None:
    verb, *words = command.words[1:]
    if verb.startswith("--"):
        assert verb in FLAGS
        return
    assert verb in VERBS, f"{verb} is no verb"
    for overrides in overrides_of(words):
        config = composed(verb, *overrides, f"hydra.searchpath=[file://{configs}]", hydra=True)
        HydraConfig.instance().set_config(config)
        with open_dict(config):
            del config["hydra"]
        read_request(config, REQUESTS[verb])


def test_a_wrong_command_would_be_found() -> None:
    with pytest.raises(InvalidInput, match=r"search\.evaluatoins"):
        read_request(composed("search", "+search.evaluatoins=4"), REQUESTS["search"])
    assert overrides_of(["a=1,2", "--multirun", "--config-dir", "c", "b=[1,2]"]) == [
        ["a=1", "b=[1,2]"],
        ["a=2", "b=[1,2]"],
    ]


def test_scripts_make_targets_and_extras_exist() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in every_command("make"):
        assert {word for word in command.words[1:] if "=" not in word} <= {*targets}, command
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for command in every_command("pip"):
        for named in re.findall(r"(?:ofa-search|\.)\[([\w,]+)\]", command.line):
            assert set(named.split(",")) <= extras.keys(), command
    for command in every_command("python"):
        words = command.words[1:]
        script = ROOT / (words[1].replace(".", "/") + ".py" if words[0] == "-m" else words[0])
        assert script.is_file(), command
        folder = [*script.parent.rglob("*.py")] if words[0] == "-m" else [script]
        source = "".join(path.read_text() for path in folder)
        for option in (word for word in words if word.startswith("--")):
            assert f'"{option.replace("--no-", "--")}"' in source, f"{command}: {option}"


def test_every_program_is_looked_at() -> None:
    used = {command.words[0] for path in PAGES for command in commands(path)}
    assert used <= {"ofa", "make", "python", "pip"} | EXCEPTIONS.keys()


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
    for name, arguments in (("ofa", "-m search.app.main"), ("python3", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": f"{ROOT}:{folder}",
        "OMP_NUM_THREADS": "1",
    }

    def run(script: str, *, code: int = 0) -> str:
        command = ["bash", "-ec", script]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == code, done.stdout[-3000:] + done.stderr[-3000:]
        return done.stdout + done.stderr

    return run


def page(name: str) -> Path:
    """Returns a tutorial."""
    return ROOT / f"docs/tutorials/{name}.md"


def scripted(name: str, leave_out: str = "#") -> list[str]:
    """Returns the commands of a tutorial's indented blocks."""
    return [line for line in indented(page(name)) if leave_out not in line]


@pytest.mark.slow
def test_a_model_and_a_device_of_ones_own(shell: Callable[..., str]) -> None:
    shell("".join(f"mkdir -p $(dirname {name})\ncat >{name} <<'END'\n{text}END\n"
                  for name, text in named_files(page("your_model")).items()))  # fmt: skip
    for command in scripted("your_model", leave_out="my_images"):
        shell(command)
    *until_search, search = scripted("your_device")
    shell("\n".join(until_search))
    assert "to_measure.zip" in shell(search, code=2)
    shell("mkdir -p outputs/main && cp -r outputs/mine/subnets outputs/main")
    (program,) = blocks(page("first_subnet"), "python")
    lines = shell(f"python3 - <<'END'\n{program}END").splitlines()
    assert len(lines) == 2 and all(float(line.split()[1]) < 1e-3 for line in lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pruning", "compress"])
def test_programs_of_tutorials_run(name: str, shell: Callable[..., str]) -> None:
    program = "\n".join(blocks(page(name), "python"))
    said = shell(f"python3 - <<'END'\n{program}END")
    assert ("test accuracy" if name == "pruning" else "bytes in place of") in said
