"""The folders of networks: their names, and writing them completely or not at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig

from ofa.errors import InvalidInput
from ofa.paths import temporary_folder
from ofa.records import Object, read_record
from search.candidates.figures import LATENCY, figure_text
from search.candidates.limits import search_name, seed_text, split_seed
from search.candidates.search_files import Finalists
from search.run.cards import SubnetCard
from search.run.file_lock import held_now, owner_text
from search.run.paths import limit_text
from search.run.stages import hash_of


@dataclass(frozen=True)
class SubnetFolder:
    """The files of one extracted subnet."""

    root: Path

    @property
    def weights(self) -> Path:
        """The state_dict of the plain network."""
        return self.root / "model.safetensors"

    @property
    def masks(self) -> Path:
        """The masks of a pruned subnet; the file does not exist for others."""
        return self.root / "masks.safetensors"

    @property
    def onnx(self) -> Path:
        """The same network for any ONNX runtime."""
        return self.root / "model.onnx"

    def quantized(self, precision: str) -> Path:
        """The same network for any ONNX runtime in fewer bits, where that was asked for."""
        return self.root / f"model.{precision}.onnx"

    @property
    def source(self) -> Path:
        """The same network as one class of plain PyTorch, if it can be written that way."""
        return self.root / "network.py"

    @property
    def arch(self) -> Path:
        """Its Arch."""
        return self.root / "arch.json"

    @property
    def card(self) -> Path:
        """What is known about the subnet."""
        return self.root / "card.json"

    @property
    def verify(self) -> Path:
        """Real inputs and their logits, to check an installation with."""
        return self.root / "verify.npz"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files except the masks."""
        return (self.weights, self.onnx, self.source, self.arch, self.card, self.verify)

    @property
    def needed(self) -> tuple[Path, ...]:
        """The files that the network is rebuilt from."""
        return (self.weights, self.arch, self.card, self.verify)

    @property
    def aside(self) -> Path:
        """The path of the old folder during the exchange."""
        return self.root.with_name(f".{self.root.name}.old")

    def restore(self) -> None:
        """Moves the old folder back if a kill came between the two renames of the exchange."""
        if self.aside.is_dir() and not self.root.exists():
            os.replace(self.aside, self.root)


@contextmanager
def replaced(root: Path) -> Iterator[SubnetFolder]:
    """Yields a folder beside `root` to fill; it replaces `root` at the end, and is removed on any error.

    Raises:
        InvalidInput: `root` is not a subnet's folder, or another process is writing it.
    """
    lock = root.with_name(f".{root.name}.lock")
    with held_now(lock) as free:
        if not free:
            raise InvalidInput(f"{root} is being written by {owner_text(lock)}: wait for it, or use another folder")
        yield from _replaced(root)


def _replaced(root: Path) -> Iterator[SubnetFolder]:
    final = SubnetFolder(root)
    final.restore()
    if root.exists() and not root.is_dir():
        raise InvalidInput(f"{root} is a file; name a folder that is new, empty or a subnet's")
    if root.is_dir() and any(root.iterdir()) and not final.card.is_file():
        raise InvalidInput(f"{root} holds other files; name a folder that is new, empty or a subnet's")
    with temporary_folder(root) as building:
        try:
            yield SubnetFolder(building)
            shutil.rmtree(final.aside, ignore_errors=True)
            if root.is_dir():
                os.replace(root, final.aside)
            os.replace(building, root)
        finally:
            final.restore()
    shutil.rmtree(final.aside, ignore_errors=True)


def subnet_name(search: str, chosen: Finalists, target: Mapping[str, float]) -> str:
    """Returns the name of the folder of the subnet that a search chose for `target`.

    `<device>-<limit>ms` if the search has its default name, `<search>-<limit>ms` if the user named it, and the search's
    own name if it has a single target: no latency limit, or one on each of several devices. The seed of the search
    comes last, as in its own name.

    Args:
        chosen: the subnets that the search chose.
    """
    if LATENCY not in target:
        return search
    device, (base, seed) = chosen.device, split_seed(search)
    limits = tuple(sorted(finalist.target[LATENCY] for finalist in chosen.finalists))
    is_default = base in (device, search_name(device, limits))
    return f"{device if is_default else base}-{limit_text(target[LATENCY])}ms{seed_text(seed)}"


def check_replaceable(folder: Path, search: str, target: Mapping[str, float]) -> None:
    """Checks that a subnet in `folder` may be replaced.

    Raises:
        InvalidInput: it is of another search, and chosen under other limits.
    """
    path = SubnetFolder(folder).card
    if not path.is_file():
        return
    card = read_record(path, SubnetCard)
    if card.search == search or card.limits == dict(target):
        return
    limits = ", ".join(figure_text(name, limit) for name, limit in (card.limits or {}).items())
    raise InvalidInput(
        f"{folder} holds the subnet of the search {card.search} ({limits or 'no limit'}): "
        f"search with study=NAME to have both, or extract with force=true to replace it"
    )


LONGEST = 120  # most characters of a folder's name

NOT_IN_NAME = {
    "run",
    "outputs",
    "force",
    "threads",
    "name",
    "model",
    "data",
    "prune",
    "data.dataset.path",
    "start.path",
    "start.folder",
    "dense.device",
}

NOT_IN_NAME |= {"baseline", "dense.validate_every", "dense.checkpoint_seconds"}


def network_label(config: Object) -> str:
    """Returns model and data set in short, such as "lenet300-mnist", from these groups of a configuration."""
    model = str(config["model"].get("_target_", "model")).rpartition(".")[2]
    dataset = config["data"]["dataset"]
    data = str(dataset.get("name") or str(dataset.get("_target_", "data")).rpartition(".")[2])
    return _plain(f"{model}-{data}".lower())


def dense_name(config: Object) -> str:
    """Returns the name of the dense network that a configuration trains: its label and a digest of all of it."""
    return f"{network_label(config)}-{hash_of(config)[:8]}"


def pruned_name(name: str | None, label: str, config: Object) -> str:
    """Returns `name` if it is given, else one made of the label, the recipe and the other overrides of the command.

    Raises:
        InvalidInput: a name that is empty or a path.
    """
    if name is not None:
        if not name or name in (".", "..") or Path(name).name != name:
            raise InvalidInput(f"name={name!r} must be a plain name, such as name=first-try")
        return name
    if not HydraConfig.initialized():
        return f"{label}-{hash_of(config)[:8]}"
    hydra = HydraConfig.get()
    return name_from(label, str(hydra.runtime.choices.get("prune")), list(hydra.overrides.task))


def compressed_name(name: str | None, label: str, config: Object) -> tuple[str, str]:
    """Returns the name of a folder, and that of the recipe.

    The first is `name` if it is given, else made of the network's, the recipe's and what else the command changed.
    """
    if not HydraConfig.initialized():
        digest = hash_of(config)[:8]
        return name or f"{label}-{digest}", digest
    hydra = HydraConfig.get()
    recipe = str(hydra.runtime.choices.get("compress"))
    changes = [text for text in hydra.overrides.task if re.match(r"[+~]*(compress[./@]|finetune[./@]|seed=)", text)]
    return name or name_from(label, recipe, changes, "compress"), recipe


def name_from(label: str, recipe: str, overrides: Sequence[str], group: str = "prune") -> str:
    """Returns "label-recipe_key=value_...", from overrides that change the result, those of `group` first."""
    of_recipe: list[str] = []
    others: list[str] = []
    for override in sorted(overrides):
        key, _, value = override.lstrip("+~").partition("=")
        if key.partition("@")[0] not in NOT_IN_NAME:
            short = re.sub(rf"^{group}[./]", "", key)
            (others if short == key else of_recipe).append(_plain(f"{short}={value}"))
    name = "_".join([f"{label}-{_plain(recipe)}", *of_recipe, *others])
    if len(name) > LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: LONGEST - 9]}-{digest}"
    return name


def _plain(text: str) -> str:
    """The text with everything but letters, digits and a few signs as dashes."""
    return re.sub(r"[^A-Za-z0-9._=+-]+", "-", text).strip("-")
