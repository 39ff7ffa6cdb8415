"""The stand-alone script: one file, no imports of ours, for Python 3.9."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from pathlib import Path

from search.device.remote import bundle as script_of_bundle
from search.device.remote.bundle import PARTS, measuring_script, merge

FOLDER = Path(script_of_bundle.__file__).parents[1] / "standalone"


def names_of(tree: ast.Module) -> list[str]:
    """Names that a file gives at its top level, imports aside."""
    found = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found += [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    return found


def test_it_imports_the_standard_library_and_numpy_alone():
    tops = set()
    tree = ast.parse(measuring_script(), feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            tops.add(str(node.module).split(".")[0])
    assert tops - set(sys.stdlib_module_names) == {"numpy"}
    futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert len(futures) == 1


def test_every_file_is_part_of_it_and_no_name_is_taken_twice():
    assert {path.stem for path in FOLDER.glob("*.py")} == {"__init__", *PARTS}
    names = Counter(names_of(ast.parse(measuring_script())))
    assert {name for name, count in names.items() if count > 1} == set()


def test_nothing_in_it_is_newer_than_python_3_9():
    for node in ast.walk(ast.parse(measuring_script())):
        if isinstance(node, ast.Call):
            assert not (getattr(node.func, "id", "") == "zip" and node.keywords), "zip(strict=) came with 3.10"
            if getattr(node.func, "id", "") == "isinstance":
                assert not isinstance(node.args[1], ast.BinOp), "isinstance(_, X | Y) came with 3.10"
            if getattr(node.func, "id", "") == "dataclass":
                assert {keyword.arg for keyword in node.keywords} == {"frozen"}
        assert not (isinstance(node, ast.ImportFrom) and "UTC" in [alias.name for alias in node.names])


def test_merging_keeps_the_order_and_drops_what_files_import_of_each_other():
    first = '"""One."""\nfrom __future__ import annotations\n\nimport os\n\nVALUE = os.sep\n'
    second = (
        '"""Two."""\n\nfrom __future__ import annotations\n\nfrom search.device.standalone.one import (\n'
        "    VALUE,\n    OTHER,\n)\n\nRESULT = VALUE * 2\n"
    )
    text = merge([first, second])
    assert "standalone.one" not in text
    assert text.index("VALUE = os.sep") < text.index("RESULT = VALUE * 2")
    space: dict[str, object] = {}
    exec(compile(text, "merged", "exec"), space)
    assert space["RESULT"] == 2 * str(space["VALUE"])


def test_it_says_what_is_missing_in_a_line(tmp_path):
    (tmp_path / "measure.py").write_text(measuring_script())

    def said(*arguments: str) -> tuple[int, str]:
        command = [sys.executable, "-I", str(tmp_path / "measure.py"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr.strip().splitlines()[-1]

    assert said() == (2, f"measure.py: {tmp_path / 'manifest.json'} is missing: run measure.py in the unpacked bundle")
    for content in ("", "[]", '{"schema": 1}', '{"schema": 1, "digest": "0"}'):
        (tmp_path / "manifest.json").write_text(content)
        code, line = said()
        assert code == 2
        assert line.endswith("is damaged: unpack the bundle again")
    assert "'soon' must be a number of seconds, 0 or more" in said("--seconds", "soon")[1]
    assert "'-1'" in said("--pause=-1")[1]
