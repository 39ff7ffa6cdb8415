"""The stage that compresses networks, each into a folder of its own: written, read back from disk and judged again."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from ofa.compress import load, save
from ofa.errors import InvalidInput
from ofa.identity import digest_of, digest_of_tensors
from ofa.paths import write_atomic
from ofa.records import read_record, write_record
from search.candidates.search_files import Finalists
from search.compression.compressed import Compressed, StageContext, clean_
from search.compression.source import CompressionSource, pruned_source, started_source, subnet_source
from search.compression.steps import named_stages, rehearse, row_of, run_stages
from search.compression.text import log_text
from search.config.compressing import CompressRequest
from search.config.read import converted
from search.config.verbs import Export, ExtractRequest
from search.device.profile_device import tool_version
from search.networks.compressed_file import load_compressed, ofaz_card
from search.networks.folder import SubnetFolder, compressed_name, subnet_name
from search.networks.network_files import file_digest
from search.objects import make_partial
from search.run.cards import InputPreprocessing
from search.run.compressed_cards import CompressedCard, CompressedFolder, StageRow
from search.run.contents import begun_searches, searches_to_use
from search.run.locks import claimed
from search.run.paths import SearchFolder
from search.run.progress import say, stage_progress
from search.run.scores import NOISE, Gain, Scores, metrics_of
from search.run.stages import Stage, stamped_config, written
from search.run.stored_inputs import begin_with
from search.run.training_cards import TrainingStep
from search.subnets.chosen import searches_for, with_limit
from search.subnets.extract_stage import extract_stage
from search.subnets.finetune import adapted
from search.training.judging import Judged, gain_of, judged, scores_of
from search.training.settings import check_computing
from search.training.trained import load_trained

FILE = "code"  # the row of the file on disk
SAME = 1e-6  # of a score that is computed again, which other layouts in memory may round otherwise


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
    names = searches_to_use(run, device=device, study=request.study)
    by_time = [name for name in begun_searches(run) if name in names]
    search = searches_for(by_time, run, request.limit)[-1]
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
            card = _write_files(compressed, rows, source, files, before, facts, request.packages)
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


def _write_files(
    compressed: Compressed,
    rows: Sequence[StageRow],
    source: CompressionSource,
    files: CompressedFolder,
    before: Judged,
    facts: Callable[..., CompressedCard],
    trust: Sequence[str] = (),
) -> CompressedCard:
    """Returns the card, after writing the file, decoding it, and judging what it holds.

    Args:
        before: what is known of the source.
        facts: makes the card from what is known here, beside what its caller knows.
        trust: packages that the model's configuration may call.

    Raises:
        RuntimeError: the file does not hold what was written, or the network in it has other scores.
    """
    started = time.perf_counter()
    tensors = compressed.tensors
    digest = digest_of(compressed.network)
    sizes = save(files.network, tensors, ofaz_card(source.rebuild, source.arch, compressed.factors, digest))
    read = load(files.network)[0]
    if list(tensors) != list(read) or digest_of_tensors(tensors) != digest_of_tensors(read):
        raise RuntimeError("the decoded file does not hold the tensors that were written")
    decoded = load_compressed(files.network, model=source.full, trust=trust)
    outcome = judged(decoded, source.data, source.task)
    _check_same_scores(rows[-1].scores, scores_of(outcome))
    last = row_of(FILE, compressed, sizes, outcome, time.perf_counter() - started, before)
    dense = [*source.network.parameters(), *source.network.buffers()]
    card = facts(
        digest=digest,
        file=file_digest(files.network),
        arch=source.arch,
        rebuild=source.rebuild,
        factors=compressed.factors,
        data=source.data.name,
        preprocessing=InputPreprocessing(**source.data.preprocessing),
        class_names=tuple(source.data.class_names),
        postprocessing=source.task.postprocessing or None,
        metrics=metrics_of(source.task),
        dense_bytes=sum(tensor.numel() * tensor.element_size() for tensor in dense),
        bytes=files.network.stat().st_size,
        stages=(*rows, last),
        seconds=sum(row.seconds for row in (*rows, last)),
        versions={"ofa-search": tool_version(), "torch": str(torch.__version__)},
        warnings=_doubts(source, gain_of(outcome, before)),
    )
    for line in card.warnings:
        say(f"compress: warning: {line}")
    write_atomic(files.log, log_text(card).encode())
    write_record(files.card, card)
    files.state.unlink(missing_ok=True)
    files.checkpoint.unlink(missing_ok=True)
    return card


def _check_same_scores(before: Scores, after: Scores) -> None:
    for split in ("validation", "test"):
        for name, score in getattr(before, split).items():
            value = getattr(after, split)[name].value
            if abs(value - score.value) > SAME * max(1.0, abs(score.value)):
                raise RuntimeError(f"{split} {name} is {value} decoded from the file, and was {score.value} before")


def _doubts(source: CompressionSource, gain: Gain) -> tuple[str, ...]:
    """A line where the compressed network is worse beyond luck on the validation split."""
    metric, by = metrics_of(source.task)[0], gain.validation
    if metric.quality(by.value) >= -NOISE * (by.standard_error or 0.0):
        return ()
    text = metric.gain_in_words(by)
    return (f"validation {metric.title} is {text} than before: remove less, give more bits, or train longer",)
