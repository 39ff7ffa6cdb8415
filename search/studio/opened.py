"""What the studio works on: the supernet of a run, or one network, with its data, its task and its profiles."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.data import Dataset
from ofa.errors import InvalidInput, nearest
from ofa.prune.weights import prunable_weights
from ofa.records import read_record
from ofa.supernet import Supernet
from ofa.task import Task
from ofa.train import TrainSettings
from search.compression.source import CompressionSource, pruned_source, started_source, subnet_source
from search.config.compressing import StudioRequest, StudioSetting
from search.config.request import override_text, run_text
from search.config.rules import short
from search.device.profile import Profile, read_profile
from search.networks.folder import SubnetFolder
from search.run.cards import Rebuild, SubnetCard
from search.run.contents import complete_profiles
from search.run.paths import RunFolder, SupernetFolder
from search.run.progress import command_line
from search.studio.fewer_bits import fewer_bits_notes, precision_of_weights
from search.subnets.finetune import adapted
from search.training.settings import supernet_settings
from search.training.trained import Trained, load_trained

USUAL_IMAGES = 1024  # of norm statistics, where no supernet's card says how many it takes


@dataclass(frozen=True, eq=False)
class Opened:
    """A supernet whose subnets are shaped, or one network whose shape is given.

    Attributes:
        request: what was asked for: the run that candidates and networks are written to, and how an epoch is trained.
        title: what it is, in words.
        words: of the command that opens it again, after `ofa studio`.
        trained: the supernet of the run; None where a network has none.
        network: plain, in eval mode; None: the supernet's subnets.
        masks: bool by parameter name, of what was removed from the network before.
        arch: the network's choices, or the supernet's largest.
        training: how an epoch is trained.
        rebuild: how the network is built again.
        calibration: training inputs that norm statistics are measured on.
        notes: lines about it that every setting has.
        precisions: of weights by name, in the subnet's file in fewer bits; empty where there is none.
    """

    request: StudioRequest
    title: str
    words: tuple[str, ...]
    trained: Trained | None
    network: nn.Module | None
    masks: Mapping[str, Tensor]
    data: Dataset
    task: Task
    arch: Arch
    training: TrainSettings
    rebuild: Rebuild
    calibration: Any
    notes: tuple[str, ...] = ()
    precisions: Mapping[str, str] = field(default_factory=dict)

    @property
    def run(self) -> RunFolder:
        """The run that candidates and networks are written to."""
        return self.request.folder

    @property
    def supernet(self) -> Supernet | None:
        """The supernet that widths and depths are of; None where the shape is given."""
        return None if self.trained is None or self.network is not None else self.trained.supernet

    @cached_property
    def full(self) -> nn.Module:
        """The network with all its layers."""
        if self.network is not None:
            return self.network
        assert self.trained is not None  # one of the two is there
        return self.trained.supernet.model

    @cached_property
    def layers(self) -> list[str]:
        """The names of the weights that can be pruned, in order."""
        return list(prunable_weights(self.full, example_input=self.data.example()))

    @cached_property
    def profiles(self) -> tuple[Profile, ...]:
        """The profiles of the run's devices, which predict milliseconds."""
        if self.trained is None:
            return ()
        return tuple(
            read_profile(self.run.profile(name), self.trained.supernet) for name in complete_profiles(self.run)
        )

    def canonical(self, setting: StudioSetting) -> StudioSetting:
        """Returns the setting without what says nothing: choices at their largest, layers that its shape leaves out.

        Raises:
            InvalidInput: a choice or a layer that there is not.
        """
        for key in ("layers", "layer_bits"):
            for name in getattr(setting, key):
                if name not in self.layers:
                    raise InvalidInput(f"setting.{key}.{name} is no layer's weight; {nearest(name, self.layers)}")
        arch, there = self.arch_of(setting), set(self.layers)
        chosen: dict[str, int] = {}
        if self.supernet is not None:
            space = self.supernet.space
            chosen = {key: value for key, value in arch.values.items() if value != space.by_key[key].values[-1]}
            there = {name for name, _ in self.supernet.subnet(arch).named_parameters()}
        still_there = {
            key: {name: value for name, value in sorted(getattr(setting, key).items()) if name in there}
            for key in ("layers", "layer_bits")
        }
        return replace(setting, arch=chosen, **still_there)

    def arch_of(self, setting: StudioSetting) -> Arch:
        """Returns the choices of a setting.

        Raises:
            InvalidInput: choices of a network whose shape is given, or that the supernet has not.
        """
        if self.supernet is not None:
            return self.supernet.space.arch(setting.arch)
        if setting.arch:
            raise InvalidInput(
                f"setting.arch={short(setting.arch)}: {self.title} has one shape; open the supernet of a run to choose"
            )
        return self.arch


def open_studio(request: StudioRequest) -> Opened:
    """Returns what a request names: by `path`, a pruned network, a model with weights, else the run's supernet.

    Raises:
        InvalidInput: there is no such thing, or its files are damaged.
    """
    request, folder = _at_path(request)
    if folder is not None:
        trained = load_trained(request.folder, request.trusted)
        source = subnet_source(request, trained, folder)
        opened, card = _of_source(request, source, trained), read_record(folder.card, SubnetCard)
        precision = precision_of_weights(card, opened.arch, request.folder)
        precisions = {name: bits for name in opened.layers if (bits := precision(name)) is not None}
        return dataclasses.replace(opened, notes=fewer_bits_notes(card, folder), precisions=precisions)
    if request.pruned is not None:
        return _of_source(request, pruned_source(request, request.pruned))
    if request.model is not None or request.start:
        return _of_source(request, started_source(request))
    trained = load_trained(request.folder, request.trusted)
    return Opened(
        request=request,
        title=f"the supernet of {request.folder.root}",
        words=_words(request),
        trained=trained,
        network=None,
        masks={},
        data=trained.data,
        task=trained.task,
        arch=trained.supernet.space.largest,
        training=adapted(supernet_settings(trained.supernet.model, trained.config, request.seed), request.finetune),
        rebuild=Rebuild(model=trained.config["model"]),
        calibration=trained.calibration(request.calibration_images),
    )


def _of_source(request: StudioRequest, source: CompressionSource, trained: Trained | None = None) -> Opened:
    images = request.calibration_images
    return Opened(
        request=request,
        title=source.text,
        words=_words(request),
        trained=trained,
        network=source.network,
        masks=source.masks,
        data=source.data,
        task=source.task,
        arch=source.arch,
        training=adapted(source.training, request.finetune),
        rebuild=source.rebuild,
        calibration=source.data.calibration(images if isinstance(images, int) else USUAL_IMAGES),
    )


OWN = ("setting", "extract", "port")  # keys of a command line that are of one setting, or of one page
NAMING = ("run", "outputs", "path", "pruned")


def _words(request: StudioRequest) -> tuple[str, ...]:
    """The words of a command line that opens it again: what names it, and what else was said when it was opened."""
    named = [override_text(key, value) for key in ("path", "pruned") if (value := getattr(request, key))]
    run = [] if request.path else shlex.split(run_text(request.folder))
    said = shlex.split(command_line())[2:]
    return (*run, *named, *(word for word in said if word.partition("=")[0].lstrip("+") not in (*OWN, *NAMING)))


def _at_path(request: StudioRequest) -> tuple[StudioRequest, SubnetFolder | None]:
    """The request with what its path names by names, and the folder of a subnet where it is one."""
    if request.path is None:
        return request, None
    path = Path(request.path)
    if not path.exists():
        raise InvalidInput(f"{path} does not exist: give a run, or the folder of a network in one")
    folder = path.parent if path.is_file() else path
    if SupernetFolder(folder).card.is_file():
        folder = folder.parent
    if SupernetFolder(RunFolder(folder).supernet).card.is_file():
        return _in_run(request, folder), None
    if folder.parent.name == RunFolder(folder).subnets.name and SubnetFolder(folder).card.is_file():
        return _in_run(request, folder.parents[1]), SubnetFolder(folder)
    if folder.parent.name == RunFolder(folder).pruned.name:
        return replace(_in_run(request, folder.parents[1]), path=None, pruned=folder.name), None
    raise InvalidInput(
        f"{path} is no run and no network in one: give outputs/<run>, or a folder in its subnets/ or prune/; "
        f"for weights of your own give model=, data=, start=checkpoint and start.path={path}"
    )


def _in_run(request: StudioRequest, folder: Path) -> StudioRequest:
    return replace(request, run=folder.name, outputs=str(folder.parent))
