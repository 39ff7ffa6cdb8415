"""What a setting's network costs and is worth, each figure with its name, its text and what qualifies it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

import ofa
from ofa.checkpoint import weights
from ofa.compress import coded_sizes
from ofa.errors import InvalidInput
from ofa.peak_memory import measure_peak_activation_bytes
from ofa.task import Batch, Replicates, Score, as_batch, replicates
from search.device.workload import Workload
from search.networks.quantized_network import runs_int8
from search.run.scores import MetricFacts, facts_of
from search.studio.opened import Opened
from search.studio.pacing import Tell, examples_at_once, progress_of, whole_macs
from search.studio.shaping import Shaped
from search.text import bytes_text, count_text, ms_text, percent_text

QUICK = 400_000  # numbers of a network that is coded for real; of a larger one the file is estimated
SCORE, FILE = "score", "ofaz_bytes"
IN_INT8 = "; all layers in int8, the score in float32"
COUNTED = "of a runtime that skips zeros"


@dataclass(frozen=True)
class Figure:
    """One figure of a setting.

    Attributes:
        key: names it; latencies are `latency_ms@<device>`, as in a search.
        value: in its unit: a score's own, ms, or a count.
        text: the value with its unit, for people.
        note: what qualifies it: its error, or how it was found.
        lower: whether less is better.
    """

    key: str
    label: str
    value: float
    text: str
    note: str = ""
    lower: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON has it."""
        return dict(vars(self))


def score_of(shaped: Shaped, opened: Opened, tell: Tell) -> Score:
    """Returns the score of the objective on the first `opened.request.sample` validation examples."""
    return judged_of(shaped, opened, tell).score


def judged_of(shaped: Shaped, opened: Opened, tell: Tell) -> Replicates:
    """Returns that score with what its difference from another setting's takes, which is on the same examples."""
    alone = replace(opened.task, metrics=(opened.task.objective,))
    return replicates(shaped.network, _sample(shaped, opened.request.sample, tell), alone)


def _sample(shaped: Shaped, most: int, tell: Tell) -> Iterator[Batch]:
    validation = shaped.data.validation
    total, seen = min(most, len(validation)), 0
    for value in validation.in_order(examples_at_once(shaped.network, shaped.use)):
        tell(progress_of(seen, total, "scored"))
        batch = as_batch(value).rows(0, total - seen)
        seen += batch.examples
        yield batch
        if seen >= total:
            return


def score_figure(score: Score, opened: Opened) -> Figure:
    """Returns a score with its standard error."""
    metric = metric_of(opened)
    note = f"{score.examples:,} validation examples, ± one standard error"
    return Figure(SCORE, metric.heading("validation"), score.value, metric.text(score), note, not metric.maximize)


def metric_of(opened: Opened) -> MetricFacts:
    """Returns what is known of the objective."""
    return facts_of(opened.task.objective)


def costs(shaped: Shaped, opened: Opened) -> list[Figure]:
    """Returns what the network costs, but for its file: milliseconds, operations, parameters, bytes and memory."""
    network = shaped.network
    counts = operations(shaped)
    total = sum(parameter.numel() for parameter in network.parameters())
    removed = sum(int((~mask).sum()) for mask in shaped.masks.values())
    stored = sum(tensor.numel() * tensor.element_size() for tensor in weights(network).values())
    figures = [
        *_latencies(shaped, opened),
        Figure("macs", "multiply-accumulates", counts["macs"], count_text(counts["macs"]), "of one example"),
        Figure("params", "parameters", total, count_text(total)),
    ]
    if removed:
        share = f"{percent_text(removed / max(1, total), 1)} removed"
        figures[-1:] = [
            Figure("macs_left", "nonzero multiply-accumulates", counts["left"], count_text(counts["left"]), COUNTED),
            figures[-1],
            Figure("params_left", "nonzero parameters", total - removed, count_text(total - removed), share),
        ]
    return [
        *figures,
        Figure("bytes", "file of tensors", stored, bytes_text(stored), "safetensors or ONNX, zeros included"),
        _peak(shaped, opened),
    ]


def operations(shaped: Shaped) -> dict[str, float]:
    """Returns "macs", multiply-accumulates of one example, and "left", those whose weight is not zero."""
    network, use = shaped.network, shaped.use
    kept = {
        name: int(parameter.count_nonzero()) for name, parameter in network.named_parameters() if name in use.positions
    }
    return {"macs": whole_macs(network, use), "left": use.cost(network, kept)["macs"]}


def _latencies(shaped: Shaped, opened: Opened) -> list[Figure]:
    """Milliseconds by the profile of each device, each with the error on networks held out."""
    if opened.trained is None:
        return []
    figures = []
    for profile in opened.profiles:
        ms = float(profile.predict_archs(opened.trained.supernet, [shaped.arch])[0])
        note = f"predicted, {percent_text(profile.held_out_error, 1)} off on networks held out; zeros save no time"
        note += IN_INT8 if runs_int8(profile) else ""
        label = f"{_run_text(profile.workload)} on {profile.name}"
        figures.append(Figure(f"latency_ms@{profile.name}", label, ms, ms_text(ms), note))
    return figures


def _run_text(workload: Workload) -> str:
    return "time" if workload.batch == 1 else f"time of {workload.batch} examples"


def _peak(shaped: Shaped, opened: Opened) -> Figure:
    label, note = "peak memory", "activations of one example, run op by op in PyTorch"
    try:
        if opened.trained is None:
            peak = measure_peak_activation_bytes(shaped.network, shaped.data.example())
        else:
            peak = int(ofa.peak_activation_bytes(opened.trained.supernet, [shaped.arch])[0])
    except InvalidInput as error:
        return Figure("peak_activation_bytes", label, 0, "not known", str(error).splitlines()[0])
    return Figure("peak_activation_bytes", label, peak, bytes_text(peak), note)


def coded_figure(shaped: Shaped) -> Figure:
    """Returns what an .ofaz file of the network's tensors takes: coded, or estimated where that would take long."""
    tensors = _stored(shaped)
    if sum(tensor.numel() for tensor in tensors.values()) > QUICK:
        return file_figure(shaped)
    size = coded_sizes(tensors).total
    return Figure(FILE, "file as .ofaz", size, bytes_text(size), "coded; its card comes on top")


def file_figure(shaped: Shaped) -> Figure:
    """Returns an estimate of what an .ofaz file of the network's tensors takes."""
    size = estimated_bytes(shaped, _stored(shaped))
    return Figure(FILE, "file as .ofaz", size, f"about {bytes_text(size)}", "estimated by entropy, not coded")


def _stored(shaped: Shaped) -> dict[str, Tensor]:
    return {name: tensor.contiguous() for name, tensor in weights(shaped.network).items()}


def estimated_bytes(shaped: Shaped, tensors: Mapping[str, Tensor]) -> int:
    """Returns bytes by entropy: of the values of shared tensors, of the places of zeros in others."""
    shared = {} if shaped.sharing is None else shaped.sharing.tensors
    total = sum(shared[name].estimated_bytes() for name in tensors if name in shared)
    for name, tensor in tensors.items():
        if name not in shared:
            kept = float(tensor.count_nonzero()) / max(1, tensor.numel())
            total += tensor.numel() * (_entropy(kept) / 8 + kept * tensor.element_size())
    return round(total)


def _entropy(share: float) -> float:
    """Bits of one outcome of two."""
    return 0.0 if share in (0.0, 1.0) else -share * math.log2(share) - (1 - share) * math.log2(1 - share)
