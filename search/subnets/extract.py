"""Extract: one subnet as a folder that runs without this toolkit, or fine-tuned to the end before (refined)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from msgspec import structs
from torch import nn

from ofa._calibrate import calibrate
from ofa._cost import cost
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.inputs import Example, Inputs
from ofa.records import content_of, convert, write_record
from ofa.resolution import resized
from ofa.rules import SpaceRules
from search.config.rules import Target
from search.device.export import OPSET
from search.device.flat import first_shape
from search.networks.folder import replaced
from search.networks.network_files import VERIFY_IMAGES, Origin, network_files
from search.run.cards import SubnetCard, SubnetFacts

if TYPE_CHECKING:
    from ofa.supernet import Supernet
from collections.abc import Callable

from torch import Tensor

from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint, weights
from ofa.identity import digest_of
from ofa.precisions import LayerPrecision
from ofa.records import read_record
from search.candidates.figures import is_int8
from search.candidates.metric_limits import meets_metrics
from search.candidates.search_files import TrialRow
from search.candidates.space import Candidate
from search.evaluation.tune import TunedNetwork, longer
from search.evaluation.tuner import Tuner
from search.run.cards import TunedCard
from search.run.locks import WAITS, evaluating
from search.run.paths import PrunedFolder, SearchFolder
from search.run.progress import stage_progress
from search.run.scores import MetricFacts, ordered, with_first
from search.run.training_cards import History, TrainingStep
from search.study.plan import SearchPlan
from search.study.tuning import FineTuning
from search.subnets.finalists import candidates_for
from search.subnets.measured_finalists import Bench
from search.training.judging import held_out
from search.training.trained import Trained


def extract_subnet(
    supernet: Supernet,
    arch: Arch,
    folder: Path,
    *,
    calibration_images: Example,
    verify_images: torch.Tensor | Inputs,
    facts: SubnetFacts,
    model_config: Target | None = None,
    space_rules: SpaceRules | None = None,
    network: nn.Module | None = None,
    masks: Mapping[str, torch.Tensor] | None = None,
    opset: int = OPSET,
    warnings: Sequence[str] = (),
    quantized: Mapping[str, bytes] = MappingProxyType({}),
) -> SubnetCard:
    """Returns the card of `arch`'s subnet after writing its folder (see `SubnetFolder` for the files).

    The folder appears complete or not at all; an existing one stays until then.

    Args:
        calibration_images: training images (N, C, H, W) for the norm statistics.
        verify_images: real inputs (N, C, H, W), preprocessed; the first 8 go into verify.npz, at the Arch's resolution.
        facts: the facts that the caller knows: the device, the limits, the measurements, the scores.
        model_config: the resolved config that built the model, with `_target_`, for `search.networks.rebuild.load`.
        space_rules: the rules of the supernet's space.
        network: the subnet with its own weights, as after a fine-tuning; None for the supernet's weights.
        masks: bool, True where a weight is kept, by parameter name; written to a separate file if given.
        opset: of the ONNX file.
        warnings: lines for the card about problems of the subnet, beside those detected here.
        quantized: ONNX files in fewer bits by precision, which `facts` tells of.

    Raises:
        InvalidInput: an Arch of another space, logits that are not finite, facts out of their ranges, or an ONNX file
            that is off by more than 1e-4 of the largest logit.
    """
    supernet.space.validate(arch)
    if len(verify_images) < 1:
        raise InvalidInput(
            f"verify_images has {len(verify_images)} images; it must have at least 1, better {VERIFY_IMAGES}"
        )
    calibration_images, verify_images = resized(calibration_images, arch), resized(verify_images, arch)
    net = (network or calibrate(supernet.extract(arch), calibration_images)).to("cpu").float().eval()
    costs: dict[str, Any] = {name: int(values[0]) for name, values in cost(supernet, [arch]).items()}
    convert(content_of(facts), SubnetFacts, "facts")  # before anything is written
    origin = Origin(arch, model_config, space_rules, first_shape(supernet.inputs)[1:], facts.num_classes)
    try:
        files = network_files(net, verify_images, origin, opset=opset, masks=masks)
    except InvalidInput as error:
        raise InvalidInput(f"{folder}: {error}") from error
    with replaced(folder) as building:
        written = replace(files, quantized=quantized).write(building)
        card = SubnetCard(
            **structs.asdict(facts),
            **costs,
            **structs.asdict(structs.replace(written, warnings=(*warnings, *written.warnings))),
            arch_digest=arch.digest,
            supernet=supernet.digest,
            space=supernet.space.digest,
            date_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        write_record(building.card, card)
    return card


def refined_rows(rows: Sequence[TrialRow], plan: SearchPlan, tuning: FineTuning, bench: Bench) -> list[TrialRow]:
    """Returns the best rows of every target with the scores and bytes after the whole fine-tuning.

    Each network is stored in a folder of the search; finished ones are skipped, interrupted ones resume.
    """
    epochs, top = tuning.finalist_epochs, bench.settings.candidates
    valid = [row for row in rows if row.scores and meets_metrics(row.scores, plan.metric_limits, plan.metrics)] or rows
    ranked = [candidates_for(valid, target, plan.latencies, plan.metric)[:top] for target in plan.limits.targets]
    chosen = {row.candidate: row for best in ranked for row in best}
    best_rows = list[TrialRow]()
    with stage_progress("fine-tune") as update, evaluating(bench.run, WAITS):
        for number, (candidate, row) in enumerate(chosen.items()):
            assert candidate is not None  # checked by candidates_for

            def follow(step: TrainingStep, number: int = number) -> None:
                update(number, len(chosen), f"epoch {step.epoch} of {epochs}")

            card = refined(candidate, tuning.tuner, bench.trained, bench.files, epochs, follow)
            figures = {**row.figures, "bytes": float(card.bytes)}
            scores = with_first(card.int8 or card.scores.validation, plan.metric.name)
            best_rows.append(structs.replace(row, scores=scores, figures=figures))
    return best_rows


def refined(
    candidate: Candidate,
    tuner: Tuner,
    trained: Trained,
    files: SearchFolder,
    epochs: int,
    follow: Callable[[TrainingStep], None] | None = None,
) -> TunedCard:
    """Returns the card of a candidate fine-tuned to the end, now unless that is done."""
    settings = longer(tuner.settings(candidate), epochs)
    folder = files.tuned(tuner.digest(candidate, settings))
    if not folder.card.is_file():
        tuned = tuner.tune(candidate, settings, checkpoint=folder.checkpoint, progress=follow)
        layers = settings.training.int8_layers
        _save(tuned, candidate, trained, folder, () if layers is None else layers.groups)
    folder.checkpoint.unlink(missing_ok=True)
    return read_record(folder.card, TunedCard)


def load_refined(arch: Arch, trained: Trained, folder: PrunedFolder) -> tuple[nn.Module, dict[str, Tensor] | None]:
    """Returns the network that `refined` or `ofa finetune` stored, and its masks by name; None if it was not pruned.

    Raises:
        InvalidInput: its files are damaged, or of another network.
    """
    net = trained.supernet.extract(arch)
    load_weights(net, load_checkpoint(folder.weights)[0], str(folder.weights))
    # There is always a file, without masks where nothing was pruned: one that is lost would make a dense network.
    return net.eval(), load_checkpoint(folder.masks)[0] or None


def scores_before(facts: SubnetFacts, tuned: TunedCard, metrics: Sequence[MetricFacts]) -> dict[str, Any]:
    """Returns what a card says of a subnet before its fine-tuning; the gain is of the scores that it says it had."""
    assert tuned.raw is not None
    raw, name = facts.raw or tuned.raw, metrics[0].name
    same = all(
        math.isclose(before[name].value, other[name].value, rel_tol=1e-6)
        for before, other in ((raw.validation, tuned.raw.validation), (raw.test, tuned.raw.test))
    )
    return {"raw": ordered(raw, metrics), "gain": tuned.gain if same else None, "finetuned": tuned.digest}


def _save(
    tuned: TunedNetwork, candidate: Candidate, trained: Trained, folder: PrunedFolder, layers: Sequence[LayerPrecision]
) -> None:
    """Writes weights, masks and history, then the card, which marks them as complete."""
    assert tuned.model is not None  # no gate stopped it
    digest = digest_of(tuned.model)
    save_checkpoint(folder.weights, weights(tuned.model), {"digest": digest})
    save_checkpoint(folder.masks, tuned.masks, {"digest": digest})
    write_record(folder.history, History(rows=tuned.history))
    card = TunedCard(
        arch=candidate.arch,
        settings=candidate.values,
        digest=digest,
        scores=held_out(tuned.model, resized(trained.data, candidate.arch), trained.task),
        bytes=tuned.bytes,
        density=tuned.density,
        seconds=tuned.seconds,
        int8=tuned.scores if is_int8(candidate.values) else {},
        int8_layers=tuple(layers),
    )
    write_record(folder.card, card)
