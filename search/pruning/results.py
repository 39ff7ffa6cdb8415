"""The files of a pruned network: weights, masks, history, card, and the slim network if there is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import structs
from torch import Tensor, nn

from ofa.arch import Arch
from ofa.checkpoint import weights
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.prune.granularity._channel import every_width
from ofa.prune.prune_report import make_report
from ofa.prune.weights import full_masks, prunable_weights
from ofa.records import write_record
from ofa.rules import SpaceRules
from ofa.supernet import Supernet
from ofa.task import Task
from search.config.rules import Target
from search.device.export import OPSET
from search.networks.folder import SubnetFolder
from search.networks.network_files import VERIFY_IMAGES, Origin, network_files
from search.pruning.job import Outcome
from search.run.cards import InputPreprocessing, NetworkCard
from search.run.paths import PrunedFolder
from search.run.progress import say
from search.run.pruned_cards import Histogram, LayerRow, OutcomeFacts, PrunedCard, PruneFacts, SlimCard
from search.run.scores import metrics_of
from search.run.training_cards import history_of
from search.training.baseline import no_better, validation_baseline
from search.training.judging import gain_of, held_out, judged, scores_of
from search.training.trained import say_warnings

BINS = 40  # of a layer's histogram


def slim_origin(full: nn.Module, example_input: Tensor, state: Mapping[str, Tensor]) -> tuple[Arch, SpaceRules]:
    """Returns which widths of `full` a slim network has, and the rules of a supernet that has all of them as choices.

    Args:
        full: the network before it lost channels.
        example_input: (N, C, H, W).
        state: the slim network's state_dict.

    Raises:
        InvalidInput: its shapes do not fit a narrower `full`.
    """
    supernet = every_width(full, example_input)
    chosen = {choice.name for choice in supernet.space.choices}
    widths = {
        f"width.{group.name}": _units(supernet, number, state) * group.channels_per_unit
        for number, group in enumerate(supernet.groups)
        if group.name in chosen
    }
    return supernet.space.arch(widths), supernet.rules


def _units(supernet: Supernet, number: int, state: Mapping[str, Tensor]) -> int:
    """How many units of a group remain, read from a dimension that no other group shares."""
    for name, axes in supernet.axes.items():
        for axis in axes:
            if axis.groups == (number,) and name in state:
                each = axis.indices[0].shape[1] if axis.indices[0].ndim > 1 else 1
                return (state[name].shape[axis.dim] - len(axis.free)) // each
    raise InvalidInput(f"no weight alone has the channels {supernet.groups[number].name!r}")


def save_outcome(
    outcome: Outcome,
    data: Dataset,
    task: Task,
    files: PrunedFolder,
    facts: PruneFacts,
    *,
    dense: nn.Module | None = None,
    model_config: Target | None = None,
    opset: int = OPSET,
) -> PrunedCard:
    """Returns the card after writing everything that belongs to a pruned network.

    Args:
        outcome: the result of the method.
        data: for the scores, and the inputs of verify.npz.
        task: what it learned.
        files: the folder to write.
        facts: where the network came from.
        dense: the network that it is compared with.
        model_config: the resolved config that built the network, with `_target_`, for `search.networks.rebuild.load`.
        opset: of the ONNX files.
    """
    net = outcome.model.to("cpu").float().eval()
    masks = {name: mask.to("cpu") for name, mask in outcome.masks.items()}
    outcome_scores = judged(net, data, task)
    scores = scores_of(outcome_scores)
    full_size = Origin(Arch(), model_config)
    network = _write("the pruned network", net, data, SubnetFolder(files.root), full_size, opset, masks)
    write_record(files.history, history_of(outcome.history))
    counted = outcome.weights or tuple(masks)
    total = sum(masks[name].numel() for name in counted)
    kept_weights = sum(int(masks[name].sum()) for name in counted)
    slim = None if outcome.slim is None else _save_slim(outcome.slim, net, data, task, files, model_config, opset)
    chance = no_better("the pruned network", metrics_of(task)[0], scores.validation, validation_baseline(task, data))
    card = PrunedCard(
        **structs.asdict(facts),
        **structs.asdict(outcome.facts),
        **_with_warnings(network, say_warnings("prune", [*outcome.warnings, *network.warnings, *chance])),
        **_data_facts(data, task),
        digest=digest_of(net),
        metrics=metrics_of(task),
        scores=scores,
        gain=None if dense is None else gain_of(outcome_scores, judged(dense, data, task)),
        params=sum(parameter.numel() for parameter in net.parameters()),
        weights=total,
        kept=kept_weights,
        density=kept_weights / total,
        macs=full_macs(net, data),
        layers=layer_rows(net, {name: masks[name] for name in counted}),
        levels=outcome.levels,
        slim=slim,
        seconds=outcome.history[-1]["seconds"] if outcome.history else 0.0,
    )
    write_record(files.card, card)
    return card


def layer_rows(net: nn.Module, masks: Mapping[str, Tensor]) -> tuple[LayerRow, ...]:
    """Returns one row per layer, with the histogram of the remaining weights."""
    parameters = dict(net.named_parameters())
    rows = []
    for name, mask in masks.items():
        remaining = parameters[name].detach().cpu()[mask].double().numpy()
        row = LayerRow(
            name=name,
            shape=tuple(mask.shape),
            weights=mask.numel(),
            kept=int(mask.sum()),
            histogram=_histogram(remaining),
        )
        rows.append(row)
    return tuple(rows)


def _histogram(values: np.ndarray[Any, Any]) -> Histogram | None:
    """The histogram of values, over a symmetric range that holds all of them; None without values."""
    if not len(values):
        return None
    edge = float(np.abs(values).max()) or 1.0
    counts, _ = np.histogram(values, bins=BINS, range=(-edge, edge))
    return Histogram(low=-edge, high=edge, counts=tuple(counts.tolist()))


def report_facts(net: nn.Module, masks: Mapping[str, Tensor], data: Dataset) -> OutcomeFacts:
    """Returns the facts of a pruner's report on a network under masks."""
    weights = {name: parameter for name, parameter in net.named_parameters() if name in masks}
    report = make_report(net, weights, masks, data.example())
    return OutcomeFacts(kept_macs=report.macs, predicted_bytes=report.bytes, whole=report.whole)


def full_macs(net: nn.Module, data: Dataset) -> int | None:
    """Returns the multiply-accumulates of all weights of a network for one image."""
    prunable = prunable_weights(net)
    return make_report(net, prunable, full_masks(prunable), data.example()).macs


def _save_slim(
    net: nn.Module,
    full: nn.Module,
    data: Dataset,
    task: Task,
    files: PrunedFolder,
    model_config: Target | None,
    opset: int,
) -> SlimCard:
    """Returns the slim network's card after writing its folder, which is like that of an extracted subnet."""
    net = net.to("cpu").float().eval()
    arch, rules = slim_origin(full, data.example(), net.state_dict())
    folder = SubnetFolder(files.slim)
    network = _write("the slim network", net, data, folder, Origin(arch, model_config, rules), opset)
    card = SlimCard(
        **structs.asdict(network),
        **_data_facts(data, task),
        folder=files.slim.name,
        digest=digest_of(net),
        params=sum(parameter.numel() for parameter in net.parameters()),
        macs=full_macs(net, data),
        metrics=metrics_of(task),
        scores=held_out(net, data, task),
        shapes={name: tuple(tensor.shape) for name, tensor in weights(net).items()},
    )
    write_record(folder.card, card)
    return card


def _write(
    name: str,
    net: nn.Module,
    data: Dataset,
    folder: SubnetFolder,
    origin: Origin,
    opset: int,
    masks: Mapping[str, Tensor] | None = None,
) -> NetworkCard:
    """Returns the card's fields of the files after writing them; prints why a file cannot be made."""
    images, _ = next(data.test.in_order(VERIFY_IMAGES))
    meta = {"digest": digest_of(net)}
    built = network_files(net, images, origin, opset=opset, masks=masks, meta=meta, needs_onnx=False)
    network = built.write(folder)
    for part, kind in ((network.onnx, "ONNX file"), (network.plain_pytorch, "network.py")):
        if part.refused is not None:
            say(f"prune: no {kind} of {name}: {part.refused}")
    return network


def _with_warnings(network: NetworkCard, warnings: Sequence[str]) -> dict[str, Any]:
    return structs.asdict(structs.replace(network, warnings=tuple(warnings)))


def _data_facts(data: Dataset, task: Task) -> dict[str, Any]:
    """The fields of a `DataCard`."""
    return {
        "data": data.name,
        "num_classes": data.num_outputs,
        "class_names": tuple(data.class_names),
        "preprocessing": InputPreprocessing(**data.preprocessing),
        "postprocessing": task.postprocessing or None,
    }
