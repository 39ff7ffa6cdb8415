"""The commands of README.md and docs/ can be typed: what no test runs composes, all names what there is."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import open_dict

from ofa.errors import InvalidInput
from search.app.launch import OPTIONS_WITH_VALUE
from search.app.main import VERBS, _with_path
from search.config.read import read_request
from search.config.verbs import REQUESTS
from tests.composed import composed
from tests.documentation import (
    PAGES,
    PROGRAMS,
    ROOT,
    Command,
    commands,
    every_command,
    indented,
    page_name,
)
from tests.reader_files import reader_configs, write_texts
from tests.runnable_commands import RUNS, runnable, why_not

# Lines of indented blocks that are no command, by how they begin.
NO_COMMANDS = {
    "docs/commands.md": ("my_conf/", "profile: widths"),  # files, each with what it holds; what a verb prints
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
    "ray": "a program of Ray, which starts a cluster",
    ".ci/run": "runs these tests",
}
PLACEHOLDER = re.compile(r"\.\.\.|=NAME\b")  # of a sentence: something is to be put there
OTHER_VERBS = {
    "completion": "a command of the shell, without a configuration: run by tests/search/app/test_completion.py"
}
FLAGS = ("--multirun", "--help", "--version", "--cfg", "job")


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_indented_lines_are_commands_or_known_as_none(path: Path) -> None:
    others = ("# ", *NO_COMMANDS.get(page_name(path), ()))  # comments go on over lines
    left = [line for line in indented(path) if line.split()[0] not in PROGRAMS and not line.strip().startswith(others)]
    assert not left, "a command of a new program, or another thing: see NO_COMMANDS"


def test_commands_can_be_pasted_into_zsh() -> None:
    """It refuses a command where a word with brackets, braces or a star is not quoted and names no file."""
    quoted = re.compile(r"'[^']*'|\"[^\"]*\"|#.*")
    typed = [
        command
        for command in every_command("ofa")
        if not PLACEHOLDER.search(command.line) and "VERB" not in command.line
    ]
    assert [str(command) for command in typed if re.search(r"[\[\]{}*?]", quoted.sub("", command.line))] == []


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder with the configs of the reader that the pages show or name."""
    folder = tmp_path_factory.mktemp("reader")
    write_texts(folder, reader_configs())
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


RUN = {command.line for path in RUNS for command in runnable(path) if why_not(command) is None}  # test_docs_commands.py
OFA = [
    command
    for command in every_command("ofa")
    if command.line not in RUN and (not PLACEHOLDER.search(command.line) or "    " in command.line)
]


@pytest.mark.slow
@pytest.mark.parametrize("command", OFA, ids=str)
def test_commands_that_are_not_run_compose_into_a_request(command: Command, configs: Path) -> None:
    verb, *words = command.words[1:]
    if verb.startswith("--"):
        assert verb in FLAGS
        return
    if verb in OTHER_VERBS:
        return
    assert verb in VERBS, f"{verb} is no verb"
    if verb == "studio":
        words = _with_path(words, OPTIONS_WITH_VALUE)
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


def test_the_table_of_groups_names_every_option() -> None:
    text = (ROOT / "docs/commands.md").read_text()
    named: dict[str, set[str]] = defaultdict(set)
    for key, row in re.findall(r"^\| `([\w/]+)` \| (.*) \|$", text, re.MULTILINE):
        named[key] |= set(re.findall(r"`(\w+)`", row))
    groups = [path.name for path in (ROOT / "conf").iterdir() if path.is_dir() and path.name != "hydra"]
    for group in (*groups, "data/augment", "prune/method"):
        options = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")}
        assert options <= named[group], f"docs/commands.md names no {sorted(options - named[group])} of {group}"
    assert {*VERBS, *OTHER_VERBS} <= named.keys()
