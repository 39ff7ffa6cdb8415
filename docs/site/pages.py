"""A hook of MkDocs: files of the repository as pages of the site, the API's pages, and pictures that follow the theme.

Pages are written for the repository, where README.md and sources lie outside docs/. Here README.md becomes the site's
first page, other Markdown of the root a page of its name, and every linked source a page or a file under `source/`.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
ROOT_PAGES = {"README.md": "index.md", **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")}}
LANGUAGES = {".py": "python", ".yaml": "yaml", ".toml": "toml", ".sh": "bash"}
LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
BY_THEME = re.compile(r'<img alt="([^"]*)" src="([^"]+)-light\.webp"[^>]*>')
PICTURE = re.compile(r'<img alt="([^"]*)" src="([^"]+\.svg)"[^>]*>')

# Packages of the API reference, by the page that they are on.
REFERENCE = {
    "ofa": ["ofa"],
    "ofa.train": ["ofa.train", "ofa.train.label_weights", "ofa.train.gradients", "ofa.train.sampling"],
    "ofa.task": ["ofa.task"],
    "ofa.data": ["ofa.data", "ofa.data.augment"],
    "ofa.models": ["ofa.models"],
    "ofa.start": ["ofa.start"],
    "ofa.prune": [
        *("ofa.prune", "ofa.prune.criteria", "ofa.prune.granularity", "ofa.prune.allocation", "ofa.prune.regrowth"),
        *("ofa.prune.regularizers", "ofa.prune.initializers", "ofa.prune.rewinding", "ofa.prune.reconstruction"),
        *("ofa.prune.lottery", "ofa.prune.learned", "ofa.prune.soft", "ofa.prune.growing", "ofa.prune.followers"),
    ],
    "ofa.compress": ["ofa.compress"],
    "search": ["search", "search.samplers", "search.device.runtimes", "search.compression"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Returns the files of docs/ with the pages that are made here."""
    for path, uri in ROOT_PAGES.items():
        files.append(File.generated(config, uri, content=(ROOT / path).read_text()))
    for package, modules in REFERENCE.items():
        files.append(File.generated(config, f"reference/{package}.md", content=reference_page(package, modules)))
    for path in sorted(linked_sources(files)):
        uri, content = source_file(path)
        files.append(File.generated(config, uri, content=content, inclusion=InclusionLevel.NOT_IN_NAV))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Returns the Markdown of a page with its links led to where files of the repository are in the site."""
    here, place = posixpath.dirname(page.file.src_uri), in_repository(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        path = resolved(place, match[2])
        if path is None:
            return match[0]
        return f"{match[1]}{posixpath.relpath(in_site(path), here or '.')}{match[3] or ''}{match[4]}"

    return LINK.sub(led, markdown)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Returns the HTML of a page with pictures that follow the theme: SVG inside it, dark ones beside light ones."""
    here = (ROOT / "docs" / page.file.src_uri).parent if page.file.src_uri != "index.md" else ROOT / "docs"

    def inside(match: re.Match[str]) -> str:
        return (here / match[2]).read_text().replace("<svg ", f'<svg role="img" aria-label="{match[1]}" ', 1)

    return PICTURE.sub(inside, BY_THEME.sub(f"{full_size('light')}{full_size('dark')}", html))


def full_size(theme: str) -> str:
    r"""Returns the replacement of a picture by that of a theme, which leads to its file, to be read on a phone."""
    picture = rf'<img alt="\1" src="\2-{theme}.webp#only-{theme}">'
    return rf'<a class="only-{theme}" title="Full size" href="\2-{theme}.webp">{picture}</a>'


def on_post_page(output: str, **_: Any) -> str:
    """Returns a page whose search has a name for those who hear it."""
    return output.replace('role="dialog"', 'role="dialog" aria-label="Search"')


def in_repository(uri: str) -> str:
    """Returns the path in the repository of a page of the site."""
    return next((path for path, page in ROOT_PAGES.items() if page == uri), f"docs/{uri}")


def in_site(path: str) -> str:
    """Returns where a file of the repository is in the site."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else source_file(path)[0]


def resolved(place: str, target: str) -> str | None:
    """Returns the path in the repository that a link on the page at `place` leads to, None where it leads elsewhere."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(place), target))
    return path if not path.startswith("..") and (ROOT / path).is_file() else None


def linked_sources(files: Files) -> set[str]:
    """Returns the files outside docs/ that pages link to, other than pages of the root."""
    found = set()
    for file in files.documentation_pages():
        place = in_repository(file.src_uri)
        for match in LINK.finditer(file.content_string):
            path = resolved(place, match[2])
            if path is not None and not path.startswith("docs/") and path not in ROOT_PAGES:
                found.add(path)
    return found


def source_file(path: str) -> tuple[str, str]:
    """Returns where a source is in the site, and what is there: a page with its code, or the file itself."""
    text, suffix = (ROOT / path).read_text(), Path(path).suffix
    if suffix == ".ipynb":
        return f"source/{path.removesuffix(suffix)}.md", notebook_page(text)
    if suffix in LANGUAGES:
        return f"source/{path}.md", f"# {path}\n\n````{LANGUAGES[suffix]}\n{text}````\n"
    return f"source/{path}" if suffix else f"source/{path}.txt", text


def notebook_page(text: str) -> str:
    """Returns a notebook as Markdown: its text, and its code."""
    cells = []
    for cell in json.loads(text)["cells"]:
        source = "".join(cell["source"])
        cells.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    return "\n\n".join(cells) + "\n"


def reference_page(package: str, modules: list[str]) -> str:
    """Returns a page of the API: of each module what it says of itself, and its public names."""
    sections = [f"# {package}\n"]
    for module in modules:
        tree = ast.parse(module_file(module).read_text())
        heading = f"\n## {module}\n" if module != package else ""
        sections.append(f"{heading}\n{ast.get_docstring(tree)}\n")
        sections += [f"\n::: {name}\n    options: {{heading: {shown}, toc_label: {shown.rpartition('.')[2]}}}\n"
                     for shown, name in public_names(module, tree)]  # fmt: skip
    return "".join(sections)


def module_file(module: str) -> Path:
    """Returns the file of a module."""
    path = ROOT / module.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def public_names(module: str, tree: ast.Module) -> list[tuple[str, str]]:
    """Returns the public names of a module as they are written, each with where it is defined."""
    places: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            places |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id == "__all__" and node.value is not None:
                names: list[str] = ast.literal_eval(node.value)
                return [(f"{module}.{name}", places.get(name, f"{module}.{name}")) for name in names]
    defined = [node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return [(f"{module}.{name}", f"{module}.{name}") for name in defined if not name.startswith("_")]
