"""Finalists in words: what was measured, counted and judged of each, and what was predicted."""

from __future__ import annotations

from search.candidates.figures import BYTES_ON_DISK
from search.candidates.search_files import Finalist, MeasuredTrial
from search.run.scores import MetricFacts, first
from search.text import limits_text, noise_text, times_text


def tuned_text(chosen: MeasuredTrial, metric: MetricFacts) -> str:
    """Returns what a fine-tuning has changed, in words; empty where there was none."""
    if not chosen.raw:
        return ""
    gain = (
        metric.difference_text(chosen.score, first(chosen.raw))
        if chosen.gain is None
        else metric.gain_text(chosen.gain)
    )
    of = f", the best of {chosen.among}" if chosen.among > 1 else ""
    return f"; fine-tuned{of}: {gain} from {metric.text(first(chosen.raw))}"


def file_text(chosen: MeasuredTrial) -> str:
    """Returns the bytes of a coded file, counted and predicted, in words; empty where they do not matter."""
    if chosen.file_bytes is None:
        return ""
    predicted = f" ({chosen.figures[BYTES_ON_DISK]:,.0f} predicted)" if BYTES_ON_DISK in chosen.figures else ""
    return f", {chosen.file_bytes:,} bytes on disk{predicted}"


def int8_text(chosen: MeasuredTrial, metric: MetricFacts) -> str:
    """Returns the score in int8, in words, and how far it is from that in float32; empty where there is none."""
    if not chosen.int8:
        return ""
    score = first(chosen.int8)
    by = metric.gain_or_difference_text(chosen.int8_gain, score, chosen.score)
    return f"; in int8 {metric.text(score)}, {by}"


def finalist_text(finalist: Finalist, metric: MetricFacts) -> str:
    """Returns what was chosen for a target, in words."""
    chosen = finalist.chosen
    missed = f", after {len(finalist.missed)} that missed" if finalist.missed else ""
    return (
        f"{limits_text(finalist.target) or 'no limit'}: {metric.named_text(chosen.score)} on "
        f"{chosen.score.examples:,} validation examples, {times_text(chosen.measured)} measured "
        f"({times_text(chosen.predicted)} predicted){file_text(chosen)}{missed}"
        f"{tuned_text(chosen, metric)}{int8_text(chosen, metric)}"
        f"{noise_text(finalist.alike)}"
    )
