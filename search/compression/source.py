"""Sources: the networks that can be compressed, each with what it learned and how it is built again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import ofa
from ofa.arch import Arch, read_arch
from ofa.checkpoint import load_checkpoint, load_weights
from ofa.data import Dataset
from ofa.errors import InvalidInput, nearest
from ofa.identity import digest_of
from ofa.records import read_record
from ofa.task import Task
from ofa.train import TrainSettings
from search.compression.compressed import partial_masks, zeros_as_masks
from search.config.compressing import CompressRequest
from search.config.read import converted
from search.config.request import plain, run_text
from search.config.tuning import NetworkRecipe
from search.networks.folder import SubnetFolder, network_label
from search.networks.rebuild import load
from search.objects import build_data, build_task
from search.pruning.dense import made_networks, network_of
from search.run.cards import NetworkCard, Rebuild, SubnetCard
from search.run.paths import PrunedFolder
from search.run.stages import is_complete
from search.run.stored_inputs import check_same, read_stored_config, show_data
from search.run.trust import Trust, check_stored
from search.training.settings import supernet_settings, train_settings
from search.training.starts import check_settled, settled
from search.training.trained import Trained


@dataclass(frozen=True)
class CompressionSource:
    """A network that can be compressed.

    Attributes:
        name: in names of folders.
        text: what it is, in words.
        network: plain, on the CPU, in eval mode.
        masks: bool by parameter name, of what was removed before.
        data: at its resolution.
        task: what it learned.
        training: how it, or the supernet that it came from, was trained.
        arch: its choices in the supernet of the full model; none: it is the full model.
        rebuild: how the full model is built.
        full: the full model, where only the user's own code may build it; None: `rebuild` says how.
        keep: is called once all that can be wrong was tried: keeps a copy of weights from outside the run.
    """

    name: str
    text: str
    network: nn.Module
    masks: Mapping[str, Tensor]
    data: Dataset
    task: Task
    training: TrainSettings
    arch: Arch
    rebuild: Rebuild
    full: nn.Module | None = None
    keep: Callable[[], None] = lambda: None

    @property
    def digest(self) -> str:
        """Of its weights."""
        return digest_of(self.network)


def _own(rebuild: Rebuild, request: CompressRequest, full: nn.Module) -> nn.Module | None:
    """The full model, unless everybody can build it from its configuration."""
    try:
        check_stored(rebuild.model, Trust(request.packages), request.folder.root)
    except InvalidInput:
        return full
    return full if rebuild.model is None else None


def subnet_source(request: CompressRequest, trained: Trained, folder: SubnetFolder) -> CompressionSource:
    """Returns an extracted subnet of a run, fine-tuned where it was.

    Raises:
        InvalidInput: its folder is damaged, or of another supernet.
    """
    folder.restore()
    card, arch = read_record(folder.card, SubnetCard), read_arch(folder.arch)
    if card.supernet != trained.digest:
        raise InvalidInput(f"{folder.root} is of another supernet than the run's: run ofa extract force=true again")
    network = trained.supernet.extract(arch)
    load_weights(network, load_checkpoint(folder.weights)[0], str(folder.weights))
    masks = load_checkpoint(folder.masks)[0] if folder.masks.is_file() else {}
    return CompressionSource(
        name=folder.root.name,
        text=f"the subnet {folder.root.name}",
        network=network.to("cpu").eval(),
        masks=partial_masks(masks),
        data=ofa.resized(trained.data, arch),
        task=trained.task,
        training=supernet_settings(trained.supernet.model, trained.config, trained.config["seed"]),
        arch=arch,
        rebuild=card.rebuild,
        full=_own(card.rebuild, request, trained.supernet.model),
    )


def pruned_source(request: CompressRequest, name: str) -> CompressionSource:
    """Returns a pruned network of a run: the slim one where its recipe made one.

    Raises:
        InvalidInput: there is none of that name, its files are damaged, or its data is another.
    """
    run = request.folder
    files = PrunedFolder(run.pruned / name)
    if not is_complete(files.root):
        there = [path.name for path in sorted(run.pruned.glob("*/")) if is_complete(path)]
        what = nearest(name, there) if there else f"run ofa prune {run_text(run)} first"
        raise InvalidInput(f"pruned={name}: {run.pruned} has no finished network of that name; {what}")
    config = read_stored_config(files.config)
    called = {key: config.get(key) for key in ("model", "data", "task", "dense")}  # never again a start or the recipe
    check_stored(called, request.trusted, files.config)
    recipe = converted({key: config.get(key) for key in NetworkRecipe.__struct_fields__}, NetworkRecipe)
    check_settled(recipe.model, files.config)
    data = build_data(plain(recipe.data))
    show_data(data, plain(recipe.data))
    check_same(data, files.root, "prune it again with force=true")
    slim = files.slim.is_dir()
    folder = SubnetFolder(files.slim if slim else files.root)
    network = load(folder.root, trust=request.packages)
    masks = load_checkpoint(folder.masks)[0] if folder.masks.is_file() else {}
    return CompressionSource(
        name=name,
        text=f"the {'slim' if slim else 'pruned'} network {name}",
        network=network,
        masks=partial_masks(masks),
        data=data,
        task=build_task(recipe.task, data),
        training=train_settings(recipe.dense, recipe.data.augment, recipe.seed, "dense"),
        arch=read_arch(folder.arch),
        rebuild=read_record(folder.card, NetworkCard).rebuild,
    )


def started_source(request: CompressRequest) -> CompressionSource:
    """Returns a model with the weights that `start` names; its exact zeros are taken as removed.

    Raises:
        InvalidInput: no model, data or weights are named, or weights that do not fit.
    """
    if request.model is None or request.data is None or not request.start:
        missing = "model=" if request.model is None else "data=" if request.data is None else "start="
        raise InvalidInput(
            f"a network of your own is named by model=, data= and start=, and {missing} is missing: such as "
            "model=lenet5 data=mnist start=checkpoint start.path=lenet5.pt"
        )
    model = settled(request.model, made_networks(request.folder))
    recipe = NetworkRecipe(
        model=model, start=request.start, data=request.data, task=request.task, dense=request.dense, seed=request.seed
    )
    made = network_of(recipe, request.folder)
    with torch.random.fork_rng(devices=[]):
        network = made.initial().to("cpu").eval()
    rebuild = Rebuild(model=model, input_shape=tuple(made.data.input_shape), num_classes=made.data.num_outputs)
    return CompressionSource(
        name=network_label(recipe.decides),
        text=f"{type(network).__name__} of {_origin(request)}",
        network=network,
        masks=zeros_as_masks(network),
        data=made.data,
        task=made.task,
        training=made.training(),
        arch=Arch(),
        rebuild=rebuild,
        full=_own(rebuild, request, network),
        keep=made.keep_start,
    )


def _origin(request: CompressRequest) -> str:
    start = request.start or {}
    return str(next((start[key] for key in ("path", "folder", "name") if start.get(key)), start.get("_target_")))
