"""The stage that extracts chosen subnets, each into a separate folder."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs
from torch import Tensor

import ofa
from ofa.arch import Arch
from ofa.errors import InvalidInput
from ofa.records import content_of, read_record, write_record
from search.candidates.figures import is_latency
from search.candidates.search_files import Finalist, Finalists, SubnetList, Trials
from search.config.rules import AUTO
from search.config.verbs import Export, ExtractRequest
from search.networks.folder import SubnetFolder, check_replaceable, subnet_name
from search.networks.network_files import VERIFY_IMAGES
from search.networks.quantized_network import as_computed, quantized_parts, quantized_text, with_precision
from search.objects import make
from search.run.cards import InputPreprocessing, SubnetCard, SubnetFacts, TunedCard
from search.run.locks import claimed
from search.run.paths import PrunedFolder, SearchFolder
from search.run.progress import say, stage_progress
from search.run.scores import metrics_of, ordered
from search.run.stages import Stage, hash_of, written
from search.subnets.extract import extract_subnet, load_refined, scores_before
from search.subnets.extracted_rows import (
    Largest,
    judged_by,
    judged_largest,
    judged_subnet,
    largest_row,
    peak_of,
    row_of,
)
from search.subnets.refined import find_refined
from search.training.baseline import no_better
from search.training.judging import gain_of, judged, scores_of
from search.training.trained import Trained, say_warnings


def extract_stage(
    request: ExtractRequest, trained: Trained, name: str, *, force: bool, waits: bool = False
) -> SubnetList:
    """Returns the list of subnets, a row each, the largest last, after extracting them; `waits` for another process."""
    run = request.folder
    finalists = read_record(SearchFolder(run.search(name)).finalists, Finalists)
    export = with_precision(request.export, SearchFolder(run.search(name)))
    inputs = {"supernet": trained.digest, "search": hash_of(content_of(finalists))}
    stage = Stage("extract", run.subnet_list(name), {"export": request.export.decides}, inputs)
    with claimed(stage, force=force, waits=waits) as needed:
        if not needed:
            say(f"extract: {stage.output} is there, nothing to do")
            return read_record(stage.output, SubnetList)
        calibration = trained.calibration(export.calibration_images)
        largest = judged_largest(trained, finalists, calibration)
        folders = [(each, run.subnet(subnet_name(name, finalists, each.target))) for each in finalists.finalists]
        for finalist, folder in [] if request.force else folders:
            check_replaceable(folder, name, finalist.target)
        rows = []
        with written(stage, force=force) as target, stage_progress("extract") as update:
            for index, (finalist, folder) in enumerate(folders):
                chosen, facts = finalist.chosen, finalist_facts(name, finalists, finalist)
                tuned = None if chosen.tuned is None else SearchFolder(run.search(name)).tuned(chosen.tuned)
                card = extract_network(trained, chosen.arch, folder, calibration, facts, tuned, export, largest)
                rows.append(row_of(card, folder.relative_to(run.root)))
                update(index + 1, len(folders), str(folder))
            subnets = SubnetList(metrics=finalists.metrics, rows=(*rows, largest_row(trained, finalists, largest)))
            write_record(Path(target), subnets)
    return subnets


def finalist_facts(search: str, finalists: Finalists, finalist: Finalist) -> SubnetFacts:
    """The facts of a card about a subnet's search; `limit_ms` and such are of the first device with a limit."""
    chosen, target = finalist.chosen, finalist.target
    return SubnetFacts(
        device=finalists.device,
        devices=tuple(finalists.devices.values()),
        search=search,
        trial=chosen.trial,
        limit_ms=next((float(target[name]) for name in chosen.measured if name in target), None),
        limits=target,
        metrics=finalists.metrics,
        metric_limits=finalists.metric_limits,
        margin=finalist.margin,
        predicted_ms=chosen.predicted_ms,
        measured_ms=chosen.measured_ms,
        predicted=chosen.predicted,
        measured=chosen.measured,
        peak_activation_bytes=peak_of(chosen.figures),
        bytes_on_disk=chosen.file_bytes,
    )


def extract_trial(request: ExtractRequest, trained: Trained, name: str, trial: int) -> None:
    """Extracts one trial of a search by its number.

    Raises:
        InvalidInput: no such trial, or one without an Arch.
    """
    run = request.folder
    rows = read_record(SearchFolder(run.search(name)).trials, Trials).rows
    row = next((row for row in rows if row.number == trial and row.arch is not None), None)
    if row is None or row.candidate is None:
        raise InvalidInput(f"trial={trial!r}: the search {name} has trials 0 to {len(rows) - 1}")
    folder = run.subnets / f"{name}-trial-{trial}"
    if SubnetFolder(folder).card.is_file() and not request.force:
        raise InvalidInput(f"{folder} exists already; force=true extracts it again")
    calibration = trained.calibration(request.export.calibration_images)
    predicted = {key: value for key, value in row.figures.items() if is_latency(key)}
    facts = SubnetFacts(
        device=name,
        search=name,
        trial=row.number,
        predicted_ms=next(iter(predicted.values()), None),
        predicted=predicted,
        peak_activation_bytes=peak_of(row.figures),
    )
    tuned_folder = None
    if row.settings:
        tuned_folder = find_refined(row.candidate, SearchFolder(run.search(name)))
        if tuned_folder is None:
            raise InvalidInput(
                f"trial={trial} of {name} was fine-tuned only for comparison, and its weights were not kept; those of "
                f"the best search.finalists.candidates for each limit are"
            )
    export = with_precision(request.export, SearchFolder(run.search(name)))
    extract_network(trained, row.candidate.arch, folder, calibration, facts, tuned_folder, export)
    say(f"extract: {folder}")


def extract_network(
    trained: Trained,
    arch: Arch,
    folder: Path,
    calibration: Tensor,
    facts: SubnetFacts,
    tuned_folder: PrunedFolder | None,
    export: Export,
    largest: Largest | None = None,
) -> SubnetCard:
    """Writes a subnet, with the supernet's weights, or with those of a fine-tuning; in fewer bits too, if asked for.

    With `largest` its card says how far it is from that on the same examples, unless it is the same network.
    """
    data = ofa.resized(trained.data, arch)
    images, _ = next(data.test.in_order(VERIFY_IMAGES))
    network, masks, layers = None, None, None
    metrics = facts.metrics or metrics_of(trained.task)
    if tuned_folder is None:
        outcome = judged_subnet(trained, arch, calibration, metrics)
        scores, other = scores_of(outcome), largest is not None and arch != largest.arch
    else:
        network, masks = load_refined(arch, trained, tuned_folder)
        tuned = read_record(tuned_folder.card, TunedCard)
        scores, other = tuned.scores, largest is not None
        if other:
            outcome = judged(network, data, judged_by(trained.task, metrics))
        facts = structs.replace(facts, settings=tuned.settings or None)
        if tuned.raw is not None:
            facts = structs.replace(facts, **scores_before(facts, tuned, metrics))
        export, layers = as_computed(export, tuned)
        if masks is not None:
            facts = structs.replace(facts, density=tuned.density, sparse_bytes=tuned.bytes)
    if largest is not None and other:
        facts = structs.replace(facts, from_largest=gain_of(outcome, largest.outcome))
    files, doubts = dict[str, bytes](), tuple[str, ...]()
    if export.quantize is not None and export.quantize != AUTO:
        inputs = ofa.resized(calibration, arch)
        network = (network or ofa.calibrate(trained.supernet.extract(arch), inputs)).to("cpu").float().eval()
        low, files, doubts = quantized_parts(network, inputs, data, trained.task, export, layers)
        facts = structs.replace(facts, quantized=low)
        say(f"extract: {folder.name}: {quantized_text(low, trained.task)}")
    baseline = None if trained.card.baseline is None else trained.card.baseline.validation
    card = extract_subnet(
        trained.supernet,
        arch,
        folder,
        calibration_images=calibration,
        verify_images=images,
        facts=structs.replace(
            facts,
            metrics=metrics,
            scores=ordered(scores, metrics),
            data=data.name,
            num_classes=data.num_outputs,
            class_names=tuple(data.class_names),
            preprocessing=InputPreprocessing(**data.preprocessing),
            postprocessing=trained.task.postprocessing or None,
            config_hash=trained.card.config_hash,
        ),
        model_config=trained.config["model"],
        space_rules=make(trained.config["space"]),
        network=network,
        masks=masks,
        opset=export.opset,
        warnings=(*no_better("the subnet", metrics[0], scores.validation, baseline), *doubts),
        quantized=files,
    )
    say_warnings(f"extract: {folder.name}", card.warnings)
    return card
