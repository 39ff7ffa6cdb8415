"""Gathers the saved files of a run into a ReportData."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Iterator
from pathlib import Path

from ofa.checkpoint import checkpoint_meta
from ofa.errors import InvalidInput
from ofa.records import convert, read_limited, read_record
from ofa.start import StartRecord
from search.device.profile_device import tool_version
from search.report.compare_section import gather_compared
from search.report.compress_section import gather_compressed
from search.report.data import Began, Choice, DeviceResult, Pruned, ReportData
from search.report.gather_device import profile_only, search_result
from search.report.gather_summary import gather_tuned, gather_warnings, summary_of
from search.report.prune_section import gather_pruned
from search.run.compressed_cards import CompressedCard
from search.run.contents import commands_of, complete_profiles, complete_searches
from search.run.paths import NetworkFolder, PrunedFolder, RunFolder, SupernetFolder
from search.run.result_files import Layers
from search.run.stages import hash_of, is_complete
from search.run.stored_inputs import read_stored_config
from search.run.training_cards import History, SupernetCard


def gather(run: RunFolder) -> ReportData:
    """Returns the content of a run's files so far; missing parts are empty.

    Raises:
        InvalidInput: neither a trained supernet nor a pruned or compressed network, or a damaged file; names it.
    """
    files = SupernetFolder(run.supernet)
    pruned, compressed = gather_pruned(run), gather_compressed(run)
    if not is_complete(files.root) and (pruned or compressed):
        return _without_supernet(run, pruned, compressed)
    if not is_complete(files.root):
        raise InvalidInput(f"{files.root} holds no trained supernet: run ofa train run={run.name} first")
    card = read_record(files.card, SupernetCard)
    config = _config_text(files, card)
    names = complete_searches(run)
    searched: list[DeviceResult] = []
    for name in names:
        shown_devices = {result.device for result in searched if result.anchors}
        searched.append(search_result(run, name, shown_devices))
    searched_devices = {result.device for result in searched}
    profiled = [profile_only(run, name) for name in complete_profiles(run) if name not in searched_devices]
    return ReportData(
        run=run.name,
        summary=summary_of(card, files.root),
        choices=tuple(Choice(choice.kind, choice.name, choice.values) for choice in card.space),
        history=read_record(files.history, History).rows,
        metric=card.metrics[0],
        devices=(*searched, *profiled),
        commands=_commands(run, names),
        digests={
            "supernet": card.digest,
            "space": card.space_digest,
            "configuration": card.config_hash,
        },
        config=config,
        versions=versions(),
        pruned=pruned,
        compared=gather_compared(run),
        side_by_side=gather_tuned(run, names),
        warned=gather_warnings(run),
        began=gather_began(run),
        layers=read_record(files.layers, Layers) if os.path.lexists(files.layers) else None,
        compressed=compressed,
    )


def _config_text(files: SupernetFolder, card: SupernetCard) -> str:
    """The text of the configuration file, if it is the one that the card names."""
    if hash_of(read_stored_config(files.config)) != card.config_hash:
        raise InvalidInput(f"{files.config} is not what {files.weights} was trained with; restore it")
    return read_limited(files.config).decode()


def _without_supernet(run: RunFolder, pruned: tuple[Pruned, ...], compressed: tuple[CompressedCard, ...]) -> ReportData:
    """The data of a run of plain networks alone."""
    names = [result.network for result in pruned] or [card.source for card in compressed]
    networks = ", ".join(dict.fromkeys(names))
    return ReportData(
        run=run.name,
        summary={"networks": networks},
        choices=(),
        history=(),
        metric=None,
        devices=(),
        commands=_commands(run, []),
        digests={},
        config="",
        versions=versions(),
        pruned=pruned,
        warned=gather_warnings(run),
        began=gather_began(run),
        compressed=compressed,
    )


def versions() -> dict[str, str]:
    """Returns the versions that a page was made with, by label."""
    return {
        "ofa-search": tool_version(),
        "Python": platform.python_version(),
        "on": platform.platform(),
    }


def _commands(run: RunFolder, searches: list[str]) -> tuple[str, ...]:
    where = run_arguments(run)
    shown = [f"ofa dashboard{where} study={search}" for search in searches]
    return (*commands_of(run), *shown, f"ofa report{where}")


def run_arguments(run: RunFolder) -> str:
    """Returns the arguments that name a run, such as " run=cifar"; empty for the default run."""
    default = {f"run={run.name}": run.name == "main"}
    default |= {f"outputs={run.root.parent}": str(run.root.parent) == "outputs"}
    return "".join(f" {shlex.quote(argument)}" for argument, is_default in default.items() if not is_default)


def gather_began(run: RunFolder) -> tuple[Began, ...]:
    """Returns how the finished trainings of a run began and ended, of those with something to say.

    Raises:
        InvalidInput: a damaged file; names it.
    """
    rows = [
        Began(str(files.root.relative_to(run.root)), _start(files.start), _ended(files.history))
        for files in _trained(run)
    ]
    return tuple(row for row in rows if row.start or row.ended)


def _trained(run: RunFolder) -> Iterator[NetworkFolder]:
    yield SupernetFolder(run.supernet)
    for parent, kind in ((run.dense, NetworkFolder), (run.pruned, PrunedFolder)):
        for folder in sorted(parent.glob("*/")):
            if not folder.name.endswith((".new", ".old")) and is_complete(folder):
                yield kind(folder)


def _start(path: Path) -> str:
    if not os.path.lexists(path):
        return ""
    record: StartRecord = convert(checkpoint_meta(path).get("start"), StartRecord, f"{path} is damaged")
    return str(record)


def _ended(path: Path) -> str:
    if not os.path.lexists(path):
        return ""
    rows = read_record(path, History).rows
    return rows[-1].ended if rows else ""
