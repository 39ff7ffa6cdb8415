"""The files of a compressed network: written, read back from disk and judged again before anything is said of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ofa.compress import load, save
from ofa.identity import digest_of, digest_of_tensors
from ofa.paths import write_atomic
from ofa.records import write_record
from search.compression.compressed import Compressed
from search.compression.source import CompressionSource
from search.compression.steps import row_of
from search.compression.text import log_text
from search.device.profile_device import tool_version
from search.networks.compressed_file import load_compressed, ofaz_card
from search.networks.network_files import file_digest
from search.run.cards import InputPreprocessing
from search.run.compressed_cards import CompressedCard, CompressedFolder, StageRow
from search.run.progress import say
from search.run.scores import NOISE, Gain, Scores, metrics_of
from search.training.judging import Judged, gain_of, judged, scores_of

FILE = "code"  # the row of the file on disk
SAME = 1e-6  # of a score that is computed again, which other layouts in memory may round otherwise


def write_files(
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
    _check_same_bits(tensors, load(files.network)[0])
    decoded = load_compressed(files.network, model=source.full, trust=trust)
    found = judged(decoded, source.data, source.task)
    _check_same_scores(rows[-1].scores, scores_of(found))
    last = row_of(FILE, compressed, sizes, found, time.perf_counter() - started, before)
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
        warnings=_doubts(source, gain_of(found, before)),
    )
    for line in card.warnings:
        say(f"compress: warning: {line}")
    write_atomic(files.log, log_text(card).encode())
    write_record(files.card, card)
    files.state.unlink(missing_ok=True)
    files.checkpoint.unlink(missing_ok=True)
    return card


def _check_same_bits(written: Mapping[str, Tensor], read: Mapping[str, Tensor]) -> None:
    if list(written) != list(read) or digest_of_tensors(written) != digest_of_tensors(read):
        raise RuntimeError("the decoded file does not hold the tensors that were written")


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
