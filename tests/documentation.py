"""The programs and commands of README.md and docs/, as they stand there."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^(`{3,})(\w*)\n(.*?)^\1$", re.DOTALL | re.MULTILINE)
PROGRAMS = ("ofa", "make", "python", "python3", "pip", "torchrun", "ray", "unzip", "mkdir", "cd", "source", ".ci/run")
SPAN = re.compile(r"(?<!`)`((?:ofa|make|python|pip|torchrun) [^`]+)`(?!`)")
SAID = re.compile(r"ofa \w+: ")  # what a verb prints


@dataclass(frozen=True)
class Command:
    """A command line of a page."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """The line as a shell splits it, without comments."""
        return shlex.split(self.line, comments=True)

    def __str__(self) -> str:
        return f"{self.page}: {self.line}"


def page_name(path: Path) -> str:
    """Returns how a page is called here: its path in the repository."""
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """Returns the fenced blocks of a language."""
    return [match[3] for match in FENCE.finditer(path.read_text()) if match[2] == language]


def indented(path: Path) -> list[str]:
    """Returns the lines of indented blocks, those that end in a backslash joined with what follows them."""
    text = FENCE.sub("", path.read_text())
    return [line[4:] for line in text.replace("\\\n", " ").splitlines() if line.startswith("    ")]


def commands(path: Path) -> list[Command]:
    """Returns the commands of a page: of its indented blocks, and those that its sentences name."""
    lines = [line for line in indented(path) if line.split()[0] in PROGRAMS and not SAID.match(line)]
    text = re.sub(r"^ {4}.*$", "", FENCE.sub("", path.read_text()), flags=re.MULTILINE)
    spans = [" ".join(span.split()) for span in SPAN.findall(text)]
    return [Command(page_name(path), line) for line in [*lines, *spans]]


def every_command(*programs: str) -> list[Command]:
    """Returns the commands of all pages that begin with one of these programs, each line once."""
    found = {command.line: command for path in PAGES for command in commands(path) if command.words[0] in programs}
    return list(found.values())


def named_files(path: Path) -> dict[str, str]:
    """Returns the files that a page gives: fenced blocks whose first line is a comment with a path, by that path."""
    found = {}
    for match in FENCE.finditer(path.read_text()):
        first = re.match(r"# ([\w/]+\.\w+)", match[3])
        if first:
            found[first[1]] = match[3]
    return found


def write_programs(folder: Path) -> None:
    """Writes `ofa` and `python3` of this installation into a folder, which a test puts in front of the path."""
    folder.mkdir(exist_ok=True)
    for name, arguments in (("ofa", "-m search.app.main"), ("python3", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments} "$@"\n')
        (folder / name).chmod(0o755)
