"""The house of the code: short chains of imports, few parameters, one class a name."""

from __future__ import annotations

import ast
import graphlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST_CHAIN = 22  # modules of `search`, each imported by the one before
MOST_PARAMETERS = 8


def trees(folder: str) -> Iterator[tuple[Path, ast.Module]]:
    """Gives every module of a folder with what it holds."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path, ast.parse(path.read_text())


def imports_of(folder: str) -> dict[str, set[str]]:
    """Returns the modules of a folder, each with those that it imports from it."""
    parsed = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): tree
        for path, tree in trees(folder)
    }
    graph = {}
    for module, tree in parsed.items():
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names = [(str(node.module), f"{node.module}.{alias.name}") for node in nodes for alias in node.names]
        graph[module] = {full if full in parsed else parent for parent, full in names} & parsed.keys()
    return graph


def longest_chain(graph: dict[str, set[str]]) -> list[str]:
    """Returns the longest way from a module to one that it imports, and so on."""
    chains: dict[str, list[str]] = {}
    for module in graphlib.TopologicalSorter(graph).static_order():
        chains[module] = [module, *max((chains[other] for other in graph[module]), key=len, default=[])]
    return max(chains.values(), key=len)


def test_chains_of_imports_are_short() -> None:
    chain = longest_chain(imports_of("search"))
    assert len(chain) <= LONGEST_CHAIN, " > ".join(chain)


def test_the_longest_chain_is_found() -> None:
    graph = {"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set(), "e": {"d"}}
    assert longest_chain(graph) == ["a", "b", "c", "d"]


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    """Returns the names of what a function takes, but for itself or its class."""
    taken = function.args
    every = [*taken.posonlyargs, *taken.args, taken.vararg, *taken.kwonlyargs, taken.kwarg]
    return [argument.arg for argument in every if argument is not None and argument.arg not in ("self", "cls")]


@pytest.mark.parametrize("folder", ["ofa/train", "search/app", "search/study"])
def test_functions_take_few_parameters(folder: str) -> None:
    for path, tree in trees(folder):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert len(parameters(node)) <= MOST_PARAMETERS, f"{path.relative_to(ROOT)}: {node.name}"


def test_no_two_classes_of_search_share_a_name() -> None:
    names = [node.name for _, tree in trees("search") for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert not [name for name, count in Counter(names).items() if count > 1]
