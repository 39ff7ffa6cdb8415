"""The stage that compresses networks of a run, or of another program: each into a folder of its own."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ofa.errors import InvalidInput
from ofa.records import read_record
from search.candidates.search_files import Finalists
from search.compression.compressed import Compressed, StageContext, clean_
from search.compression.files import write_files
from search.compression.source import CompressionSource, pruned_source, started_source, subnet_source
from search.compression.steps import named_stages, rehearse, run_stages
from search.config.compressing import CompressRequest
from search.config.read import converted
from search.config.verbs import Export, ExtractRequest
from search.networks.folder import SubnetFolder, compressed_name, subnet_name
from search.objects import make_partial
from search.run.compressed_cards import CompressedCard, CompressedFolder
from search.run.contents import begun_searches, complete_searches, pick
from search.run.locks import claimed
from search.run.paths import SearchFolder
from search.run.progress import say, stage_progress
from search.run.stages import Stage, stamped_config, written
from search.run.stored_inputs import begin_with
from search.run.training_cards import TrainingStep
from search.subnets.extract_stage import extract_stage
from search.subnets.finetune import adapted
from search.subnets.finetune_stage import with_limit
from search.training.judging import judged
from search.training.settings import check_computing
from search.training.trained import load_trained


def compress_stage(request: CompressRequest, *, waits: bool = False) -> list[CompressedCard]:
    """Returns the card of each network after compressing it, unless that is done; of equal ones the first alone.

    Raises:
        InvalidInput: no such network, stages that do not fit it, or a folder of another compression.
    """
    check_computing("compress", "finetune", request.finetune)
    cards: dict[str, CompressedCard] = {}
    for source in sources_of(request):
        if (same := cards.get(source.digest)) is not None:
            say(f"compress: {source.text} is the same network as {same.source}")
            continue
        cards[source.digest] = compress(request, source, waits=waits)
    return list(cards.values())


def sources_of(request: CompressRequest) -> Iterator[CompressionSource]:
    """Yields the networks that a request names, each loaded when its turn comes.

    Raises:
        InvalidInput: there is none, or a name for several.
    """
    if request.pruned is not None:
        yield pruned_source(request, request.pruned)
    elif request.model is not None or request.start:
        yield started_source(request)
    else:
        yield from _subnets(request)


def _subnets(request: CompressRequest) -> Iterator[CompressionSource]:
    """The subnets that the last search chose, or the one that is named, extracted where they are not yet."""
    run, device = request.folder, None if request.device is None else request.device.name
    complete = set(complete_searches(run))
    by_time = [name for name in begun_searches(run) if name in complete]
    search = pick(by_time, run, device=device, study=request.study)[-1]
    finalists = read_record(SearchFolder(run.search(search)).finalists, Finalists)
    wanted = with_limit(finalists.finalists, request.limit, search)
    if request.name is not None and len(wanted) > 1:
        raise InvalidInput(
            f"name={request.name} is one folder, and the search {search} chose {len(wanted)} subnets: add limit=MS"
        )
    trained = load_trained(run, request.trusted)
    extract_stage(_extraction(request, search), trained, search, force=False, waits=True)
    for finalist in wanted:
        folder = SubnetFolder(run.subnet(subnet_name(search, finalists, finalist.target)))
        yield subnet_source(request, trained, folder)


def _extraction(request: CompressRequest, search: str) -> ExtractRequest:
    """The extraction of a search's subnets, as they were extracted where that was done before."""
    stamped = stamped_config(request.folder.subnet_list(search))
    export = converted(stamped["export"], Export, "export") if "export" in stamped else Export()
    return ExtractRequest(
        run=request.run, outputs=request.outputs, seed=request.seed, trust=request.trust, export=export
    )


def compress(request: CompressRequest, source: CompressionSource, *, waits: bool = False) -> CompressedCard:
    """Returns the card of one network after compressing it, unless that is done; an interrupted one goes on."""
    name, recipe = compressed_name(request.name, source.name, request.decides)
    stage = Stage(
        "compress",
        request.folder.compressed / name,
        request.decides,
        {"network": source.digest},
        beside="name=NAME for another folder",
    )
    with claimed(stage, force=request.force, waits=waits) as needed:
        if not needed:
            say(f"compress: {stage.output} is there, nothing to do")
            return read_record(CompressedFolder(stage.output).card, CompressedCard)
        begin = Compressed(source.network, source.masks)
        stages = named_stages(request.compress.stages, make_partial)
        context = _context(request, source, Path("unused"))
        rehearse(begin, stages, context)
        say(f"compress: {source.text}: {', '.join(each.name for each in stages) or 'as it is'}")
        with written(stage, force=request.force) as target, stage_progress("compress") as update:
            files = CompressedFolder(target)
            begin_with(source.data, target, "force=true to start again")
            doing, finished = "", 0

            def tell(done: int, name: str) -> None:
                nonlocal doing, finished
                doing, finished = name, done
                update(done, len(stages), name)

            def show(step: TrainingStep) -> None:
                loss = "" if step.loss is None else f", loss {step.loss:.3f}"
                update(finished, len(stages), f"{doing}: step {step.step} of {step.total_steps}{loss}")

            context = replace(context, checkpoint=files.checkpoint, show=show)
            before = judged(clean_(begin.copied()).network, source.data, source.task)
            source.keep()
            compressed, rows = run_stages(begin, stages, context, files, before, tell)
            facts = partial(
                CompressedCard,
                name=name,
                source=source.text,
                source_digest=source.digest,
                recipe=recipe,
                config_hash=stage.config_hash,
            )
            card = write_files(compressed, rows, source, files, before, facts, request.packages)
    return card


def _context(request: CompressRequest, source: CompressionSource, checkpoint: Path) -> StageContext:
    """What the stages share; the teacher is the network as it is now."""
    finetuning = request.finetune
    teacher = copy.deepcopy(source.network).requires_grad_(False) if finetuning.distill > 0 else None
    return StageContext(
        data=source.data,
        task=source.task,
        training=replace(adapted(source.training, finetuning), seed=request.seed),
        teacher=teacher,
        distill=finetuning.distill,
        temperature=finetuning.temperature,
        checkpoint=checkpoint,
        show=lambda step: None,
    )
