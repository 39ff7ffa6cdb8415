"""The stage that fine-tunes chosen subnets, and puts each in the place of the one from the supernet."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from msgspec import structs
from torch import Tensor, nn

import ofa
from ofa.arch import Arch
from ofa.checkpoint import save_checkpoint, weights
from ofa.data import Dataset
from ofa.errors import InvalidInput
from ofa.identity import digest_of
from ofa.processes import processes
from ofa.records import read_record, write_record
from ofa.train import Teacher
from search.candidates.search_files import Finalist, Finalists, SubnetList
from search.config.read import converted
from search.config.request import plain
from search.config.rules import Target
from search.config.verbs import Export, ExtractRequest, FinetuneRequest
from search.networks.folder import SubnetFolder, subnet_name
from search.networks.quantized_network import with_precision
from search.run.cards import SubnetCard, TunedCard
from search.run.locks import claimed, written_by_first
from search.run.paths import PrunedFolder, SearchFolder
from search.run.progress import say, stage_progress
from search.run.scores import difference
from search.run.stages import Stage, stamped_config
from search.run.stored_inputs import begin_with
from search.run.training_cards import History, TrainingStep
from search.subnets.chosen import with_limit
from search.subnets.extract_stage import extract_network, extract_stage, finalist_facts
from search.subnets.extracted_rows import Largest, judged_largest, row_of
from search.subnets.finetune import Finetuned, FinetuneSettings, MakeTeacher, finetune, finetune_settings
from search.training.loggers import MakeLoggers, loggers_of
from search.training.settings import check_computing
from search.training.teachers import build_teacher, teacher_inputs
from search.training.trained import Trained


@dataclass(frozen=True)
class FinetunedSearch:
    """What the fine-tuning of every subnet of a search shares."""

    request: FinetuneRequest
    trained: Trained
    search: str
    finalists: Finalists
    settings: FinetuneSettings
    teacher: MakeTeacher | None
    export: Export
    loggers: MakeLoggers

    @cached_property
    def calibration(self) -> Tensor:
        """The training examples that norm statistics come from."""
        images: Tensor = self.trained.calibration(self.export.calibration_images)
        return images

    @cached_property
    def largest(self) -> Largest:
        """The largest subnet, judged once for all."""
        return judged_largest(self.trained, self.finalists, self.calibration)

    def folder(self, finalist: Finalist) -> Path:
        """Where a subnet is extracted."""
        return self.request.folder.subnet(subnet_name(self.search, self.finalists, finalist.target))


def finetune_stage(
    request: FinetuneRequest, trained: Trained, name: str, *, force: bool, waits: bool = False
) -> SubnetList:
    """Returns the list of a search's subnets, after fine-tuning those that are asked for; the others stay.

    Subnets are extracted first, where they are not yet. A fine-tuning that was interrupted resumes; one that is
    complete is put in place again where `ofa extract force=true` has put the supernet's weights back.

    Raises:
        InvalidInput: no subnet of that limit, or a search that has fine-tuned its subnets itself.
    """
    finalists = read_record(SearchFolder(request.folder.search(name)).finalists, Finalists)
    wanted = with_limit(finalists.finalists, request.limit, name)
    if any(finalist.chosen.tuned is not None for finalist in wanted):
        raise InvalidInput(
            f"the search {name} has fine-tuned its subnets itself: raise its search.tuning.finalist_epochs, or its "
            "finetune.epochs, instead"
        )
    check_computing("finetune", "finetune", request.finetune)
    loggers = loggers_of(request.logger, request.folder)
    settings = finetune_settings(request.finetune, request.prune, trained, request.seed)
    extraction = extract_request(request, name)
    group = processes()
    group.from_first(lambda: extract_stage(extraction, trained, name, force=False, waits=waits))
    teacher = taught_by(trained, settings, request.teacher)
    shared = FinetunedSearch(request, trained, name, finalists, settings, teacher, extraction.export, loggers)
    for finalist in wanted:
        tuned = tuned_folder(shared, finalist, force=force, waits=waits)
        group.from_first(partial(put_in_place, shared, finalist, tuned))
    return group.from_first(lambda: listed_again(shared))


def extract_request(request: FinetuneRequest, search: str) -> ExtractRequest:
    """Returns the request that extracts the subnets of a search, as they were extracted where that was done before."""
    stamped = stamped_config(request.folder.subnet_list(search))
    export = converted(stamped["export"], Export, "export") if "export" in stamped else request.export
    names = [name for name in ExtractRequest.__struct_fields__ if name in FinetuneRequest.__struct_fields__]
    return ExtractRequest(**{name: getattr(request, name) for name in names} | {"export": export, "force": False})


def taught_by(trained: Trained, settings: FinetuneSettings, teacher: Target | None = None) -> MakeTeacher | None:
    """Returns what makes a subnet's teacher: the largest, norm statistics measured, or that of a `teacher` group.

    None where nothing is learned from one. A group is called for each subnet, which is what it starts from.
    """
    if not settings.distill:
        return None
    if teacher:
        return partial(_made, teacher)
    net = trained.supernet.extract(trained.supernet.space.largest).requires_grad_(False)
    largest = ofa.calibrate(net, trained.calibration(settings.calibration_images))
    return lambda subnet, data: largest


def _made(config: Target, subnet: nn.Module, data: Dataset) -> nn.Module | Teacher:
    teacher = build_teacher(config, subnet, data)
    assert teacher is not None  # the largest has no group, and the request has refused an average
    return teacher


def tuned_folder(shared: FinetunedSearch, finalist: Finalist, *, force: bool, waits: bool) -> PrunedFolder:
    """Returns the folder of a fine-tuned subnet, trained now unless it is there."""
    request, arch = shared.request, finalist.chosen.arch
    name = shared.folder(finalist).name
    config = {"finetune": request.finetune.decides, "seed": request.seed}
    if request.prune is not None:
        config["prune"] = plain(request.prune)
    if request.teacher:
        config["teacher"] = dict(request.teacher)
    output = request.folder.finetuned / name
    inputs = {"supernet": shared.trained.digest, "subnet": arch.digest, **teacher_inputs(request.teacher, [output])}
    stage = Stage("finetune", output, config, inputs, beside="study=NAME for another search")
    with claimed(stage, force=force, waits=waits) as needed:
        if not needed:
            say(f"finetune: {stage.output} is there, nothing to do")
            return PrunedFolder(stage.output)
        with written_by_first(stage, force=force) as target, stage_progress("finetune") as update:
            files = PrunedFolder(target)
            begin_with(shared.trained.data, target, "force=true to start again")

            def show(step: TrainingStep) -> None:
                update(step.step, step.total_steps, f"{name}, loss {step.loss:.3f}")

            tuned = finetune(
                arch,
                shared.trained,
                shared.settings,
                shared.teacher,
                files.checkpoint,
                show,
                shared.loggers(f"finetune/{name}"),
            )
            if processes().is_first:
                save_finetuned(tuned, arch, files)
                files.checkpoint.unlink(missing_ok=True)
    return PrunedFolder(stage.output)


def save_finetuned(tuned: Finetuned, arch: Arch, files: PrunedFolder) -> None:
    """Writes weights, masks and history, then the card."""
    digest = digest_of(tuned.model)
    save_checkpoint(files.weights, weights(tuned.model), {"digest": digest})
    save_checkpoint(files.masks, tuned.masks or {}, {"digest": digest})
    write_record(files.history, History(rows=tuned.history))
    card = TunedCard(
        arch=arch,
        settings={},
        digest=digest,
        scores=tuned.scores,
        bytes=tuned.bytes,
        density=tuned.density,
        seconds=tuned.seconds,
        raw=tuned.raw,
        gain=tuned.gain,
    )
    write_record(files.card, card)


def put_in_place(shared: FinetunedSearch, finalist: Finalist, tuned: PrunedFolder) -> None:
    """Extracts a fine-tuned subnet in the place of the supernet's, unless that is done; the scores of both stay."""
    folder = shared.folder(finalist)
    present = read_record(SubnetFolder(folder).card, SubnetCard)
    digest = read_record(tuned.card, TunedCard).digest
    if present.finetuned == digest:
        return
    raw = present.scores if present.finetuned is None else present.raw
    facts = structs.replace(finalist_facts(shared.search, shared.finalists, finalist), raw=raw, finetuned=digest)
    search = SearchFolder(shared.request.folder.search(shared.search))
    export = with_precision(shared.export, search)
    arch, largest = finalist.chosen.arch, shared.largest
    extract_network(shared.trained, arch, folder, shared.calibration, facts, tuned, export, largest)
    say(f"finetune: {folder} has the fine-tuned weights")
    metric, card = shared.finalists.metrics[0], read_record(tuned.card, TunedCard)
    if raw is not None and metric.is_better(raw.validation[metric.name], card.scores.validation[metric.name]):
        apart = difference(card.scores.validation[metric.name], raw.validation[metric.name])
        text = metric.gain_in_words(card.gain.validation if card.gain is not None and raw == card.raw else apart)
        say(
            f"finetune: warning: validation {metric.title} of {folder.name} is {text} than before: lower "
            "finetune.learning_rate, or have the supernet's weights back by ofa extract force=true"
        )


def listed_again(shared: FinetunedSearch) -> SubnetList:
    """Returns the list of the search's subnets, written again from their cards."""
    run = shared.request.folder
    path = run.subnet_list(shared.search)
    before = read_record(path, SubnetList)
    rows = [
        row_of(read_record(SubnetFolder(run.root / row.folder).card, SubnetCard), Path(row.folder))
        if row.folder
        else row
        for row in before.rows
    ]
    after = structs.replace(before, rows=tuple(rows))
    if after != before:
        write_record(path, after)
    return after
