"""What `ofa VERB --help` prints: the groups of a verb, and each key with its value and what it means.

Meanings are the comments of the configuration files, so that there is one place for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from search.run.paths import conf_dir

OPTIONS_WITH_VALUE = (
    *("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"),
    *("--cfg", "-c", "--package", "-p", "--info", "-i"),
)
LINE = re.compile(
    r"""(?P<indent>\ *)(?P<key>[A-Za-z_][\w@/]*):(?:[^#'"]|'[^']*'|"[^"]*")*?(?:\s+\#\s*(?P<comment>.*))?$""",
    re.VERBOSE,
)
WIDTH = 44  # characters of a key and its value, before what it means
HIDDEN = ("_target_", "_partial_", "_convert_", "_recursive_")  # how objects are made, not what is chosen

FOOTER = """{words} Further:
  ofa {verb} ... --cfg job        the whole configuration that would run, with what makes each object
  ofa {verb} ... --multirun       every combination of values separated by commas
  ofa {verb} --config-dir FOLDER  options of your own beside these
  ofa {verb} --hydra-help         about Hydra itself
"""


def verb_help(verb: str, arguments: Sequence[str]) -> str:
    """Returns the help on a verb with the options chosen by `arguments`: its groups, then every key.

    Raises:
        HydraException: an argument that cannot be composed.
    """
    options, plain = composed(verb, arguments)
    known = meanings(verb, options)
    choices = {group: options_of(group, option) for group, option in options.items()}
    groups = [f"  {group}={' | '.join(names)}" for group, names in choices.items()]
    keys = [_line(path, value, known.get(path, "")) for path, value in keys_of(plain)]
    body = ["Keys: value now, and what it means", *keys]
    words = "A key takes a value."
    if groups:
        body = ["Groups (the first is chosen now)", *groups, "", *body]
        example = next(f"{group}={names[-1]}" for group, names in choices.items())
        words = f"A group takes one of its options, such as ofa {verb} {example}; a key takes a value."
    title = (conf_dir() / f"{verb}.yaml").read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return "\n".join([title, "", *body, "", FOOTER.format(verb=verb, words=words)])


def composed(verb: str, arguments: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Returns the option of each group of a verb, and its configuration as plain values, with `arguments` given.

    Raises:
        HydraException: an argument that cannot be composed.
    """
    values = {option: value for option, value in pairwise(arguments) if option in OPTIONS_WITH_VALUE}
    chosen = [word for word in arguments if not word.startswith("-") and word not in values.values()]
    if own := values.get("--config-dir", values.get("-cd")):
        chosen.append(f"hydra.searchpath=[file://{Path(own).resolve()}]")
    with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        config = compose(verb, overrides=chosen, return_hydra_config=True)
        choices = OmegaConf.to_container(config.hydra.runtime.choices)
        plain: Any = OmegaConf.to_container(config, resolve=False)
    assert isinstance(choices, dict)
    options = {
        str(group): "null" if option is None else str(option)
        for group, option in reversed(choices.items())
        if not str(group).startswith("hydra/")
    }
    plain.pop("hydra")
    return options, plain


def options_of(group: str, chosen: str) -> list[str]:
    """Returns the options of a group, the chosen one first."""
    others = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
    return [chosen, *(name for name in others if name != chosen)]


def _line(path: str, value: Any, meaning: str) -> str:
    shown = f"  {path}={'null' if value is None else str(value).lower() if isinstance(value, bool) else value}"
    gap = " " * max(2, WIDTH - len(shown))
    return f"{shown}{gap}{meaning}".rstrip()


def keys_of(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Yields each key with its value, as `group.key`, without those that say how objects are made."""
    for name, value in config.items():
        if name in HIDDEN:
            continue
        if isinstance(value, Mapping) and value:
            yield from keys_of(value, f"{before}{name}.")
        elif not (value == {}):
            yield f"{before}{name}", value


def meanings(verb: str, options: Mapping[str, str]) -> dict[str, str]:
    """Returns what each key means by the comments of its files: of the verb, the options chosen, then other options."""
    known: dict[str, str] = {}
    for name in ("base", verb):
        known |= {path: text for path, text in comments(conf_dir() / f"{name}.yaml").items() if path not in known}
    for group, option in options.items():
        folder = conf_dir() / group
        for file in [folder / f"{option}.yaml", *sorted(folder.glob("*.yaml"))]:
            if file.is_file():
                inside = {f"{group.replace('/', '.')}.{path}": text for path, text in comments(file).items()}
                known |= {path: text for path, text in inside.items() if path not in known}
    return known


def comments(file: Path) -> dict[str, str]:
    """Returns the comment of each key of a configuration file by its path, with the lines that go on below it."""
    by_key: dict[str, str] = {}
    open_keys: list[tuple[int, str]] = []
    last = ""
    for line in file.read_text(encoding="utf-8").splitlines():
        match = LINE.match(line)
        if match is None:
            goes_on = re.match(r"\s{8,}#\s*(.*)", line)
            if goes_on and last:
                by_key[last] += f" {goes_on[1]}"
            else:
                last = ""
            continue
        indent = len(match["indent"])
        open_keys = [(depth, key) for depth, key in open_keys if depth < indent]
        open_keys.append((indent, match["key"]))
        last = ".".join(key for _, key in open_keys) if match["comment"] else ""
        if last:
            by_key[last] = match["comment"]
    return by_key
