"""Detection: boxes and their classes, with the loss of the user's own network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ofa.errors import InvalidInput, is_number, is_whole
from ofa.inputs import output_tensors
from ofa.task._own_loss import loss_of
from ofa.task.batch import Batch
from ofa.task.box_targets import by_image, check_boxes
from ofa.task.boxes import most_likely
from ofa.task.choosing import chosen
from ofa.task.detail import Detail
from ofa.task.detection_metrics import (
    Matches,
    drawn_mean_average_precision,
    matches,
    mean_average_precision,
    rows_of_classes,
)
from ofa.task.facts import class_count, class_names
from ofa.task.losses import full_precision
from ofa.task.metric import Metric
from ofa.task.task import Task, call_network

Detections = list[dict[str, Tensor]]


def detection(
    data: Any = None,
    *,
    metrics: Sequence[str | Metric] = ("map", "map_50"),
    loss: Callable[[Any, Any], Any] | None = None,
    decode: Callable[[Any], Any] | None = None,
    distill: Callable[[Any, Any], Tensor] | Literal["outputs"] | None = None,
    score_threshold: float = 0.01,
    iou_threshold: float = 0.6,
    most: int = 100,
    num_classes: int | None = None,
) -> Task:
    """Returns the task of finding boxes and naming their classes, with a loss that fits the network.

    Targets are a list with {"boxes": (M, 4), "labels": (M,)} for each image, or the same padded to (images, M, 4) and
    (images, M), labels -1 where there is no box. Boxes are x1, y1, x2, y2 in pixels, labels are numbered from 0.
    Metrics: map (mean average precision, the mean over overlaps of 50 to 95 %), map_50, map_75, as COCO defines them.

    Args:
        data: a data set with `num_classes` and perhaps `class_names`.
        metrics: names as above, or Metrics; the objective first.
        loss: (outputs, targets) -> the loss, also as the first of a tuple or a dictionary of losses; None: the
            network's own method of that name.
        decode: outputs -> a list with {"boxes", "scores", "labels"} for each image; or a pair of all candidates, boxes
            (images, candidates, 4) and probabilities (images, candidates, classes), which are then thinned out here.
            None: the network's own method of that name, or outputs that are such a list or pair already.
        distill: (outputs, teacher's outputs) -> the loss of distillation; "outputs": the mean squared difference of all
            output tensors; None: none.
        score_threshold: candidates of a lower probability are left out.
        iou_threshold: overlap from which on two candidates of a class are the same box.
        most: detections of an image.
        num_classes: how many.

    Raises:
        InvalidInput: an unknown metric, or an argument out of range.
    """
    for name, value in (("score_threshold", score_threshold), ("iou_threshold", iou_threshold)):
        if not is_number(value) or not 0 <= value < 1:
            raise InvalidInput(f"{name}={value!r} is a fraction: at least 0 and less than 1")
    if not is_whole(most, least=1):
        raise InvalidInput(f"most={most!r} detections of an image: a whole number of at least 1")
    if distill is not None and distill != "outputs" and not callable(distill):
        raise InvalidInput(f"distill={distill!r}; give 'outputs', a function (outputs, teacher's outputs), or nothing")
    thin = partial(most_likely, score_threshold=score_threshold, iou_threshold=iou_threshold, most=most)
    detections = partial(_detections, decode=decode, thin=thin)
    classes = class_count(data, num_classes)
    statistics = partial(_matches, detect=detections, classes=classes)
    pairs = partial(_pairs, detect=detections, classes=classes)
    offered = {
        name: Metric(
            name=name,
            statistics=statistics,
            value=partial(mean_average_precision, threshold=threshold),
            unit="%",
            label=label,
            additive=False,
            drawn=partial(drawn_mean_average_precision, threshold=threshold),
        )
        for name, threshold, label in (("map", None, "mAP"), ("map_50", 0.5, "mAP@.5"), ("map_75", 0.75, "mAP@.75"))
    }
    rows = partial(rows_of_classes, names=() if classes is None else class_names(data, classes))
    return Task(
        name="detection",
        loss=partial(_loss, loss=loss),
        metrics=chosen(metrics, offered, "detection", pairs),
        distill=None if distill is None else partial(_distill, distill=distill),
        check=partial(_check, detect=detections, loss=loss, classes=classes),
        call=call_network if loss is not None and decode is not None else _call,
        details=(
            Detail(name="classes", statistics=statistics, rows=rows, additive=False, units={"map": "%", "map_50": "%"}),
        ),
        predictions=detections,
    )


class Answer(NamedTuple):
    """A network's outputs, with the network whose own methods explain them."""

    outputs: Any
    network: nn.Module


def _call(network: nn.Module, batch: Batch) -> Answer:
    return Answer(call_network(network, batch), network)


def _raw(outputs: Any) -> Any:
    return outputs.outputs if isinstance(outputs, Answer) else outputs


def _loss_function(outputs: Any, loss: Callable[[Any, Any], Any] | None) -> Callable[[Any, Any], Any]:
    own = getattr(outputs.network, "loss", None) if isinstance(outputs, Answer) else None
    function = own if loss is None else loss
    if not callable(function):
        raise InvalidInput(
            "detection has no loss: give task.loss a function (outputs, targets), or the network a method `loss`"
        )
    return function


def _loss(outputs: Any, batch: Batch, *, loss: Callable[[Any, Any], Any] | None) -> Tensor:
    return loss_of(_loss_function(outputs, loss)(_raw(outputs), batch.targets))


def _distill(outputs: Any, teacher: Any, batch: Batch, *, distill: Callable[[Any, Any], Tensor] | str) -> Tensor:
    if callable(distill):
        return distill(_raw(outputs), _raw(teacher))
    own, taught = output_tensors(_raw(outputs)), output_tensors(_raw(teacher))
    pairs = [(learned, other) for learned, other in zip(own, taught, strict=True) if learned.is_floating_point()]
    losses = [
        nn.functional.mse_loss(full_precision(student), full_precision(other.detach())) for student, other in pairs
    ]
    return torch.stack(losses).mean()


def _detections(outputs: Any, batch: Batch, *, decode: Callable[[Any], Any] | None, thin: Any) -> Detections:
    """The detections of each image: boxes (K, 4), scores (K,), labels (K,)."""
    own = getattr(outputs.network, "decode", None) if isinstance(outputs, Answer) else None
    function = own if decode is None else decode
    answer = _raw(outputs) if function is None else function(_raw(outputs))
    if isinstance(answer, Mapping) and {"boxes", "scores"} <= answer.keys():
        answer = (answer["boxes"], answer["scores"])
    if isinstance(answer, list) and all(isinstance(each, Mapping) and "boxes" in each for each in answer):
        return [dict(each) for each in answer]
    if isinstance(answer, tuple) and len(answer) == 2 and all(isinstance(part, Tensor) for part in answer):
        boxes, scores = answer
        if boxes.dim() == scores.dim() == 3 and boxes.shape[:2] == scores.shape[:2] and boxes.shape[2] == 4:
            return [thin(*each) for each in zip(boxes, scores, strict=True)]
    raise InvalidInput(
        f"the network's outputs are no boxes but a {type(answer).__name__}; give task.decode a function (or the "
        "network a method `decode`) that returns {'boxes', 'scores', 'labels'} for each image, or a pair of boxes "
        "(images, candidates, 4) and probabilities (images, candidates, classes)"
    )


def _matches(
    outputs: Any, batch: Batch, *, detect: Callable[[Any, Batch], Detections], classes: int | None
) -> list[Matches]:
    check_boxes(batch, classes)  # each batch, and without `_check`, which finds boxes once more
    return [matches(each, *true) for each, true in zip(detect(outputs, batch), by_image(batch.targets), strict=True)]


def _pairs(
    outputs: Any, batch: Batch, *, detect: Callable[[Any, Batch], Detections], classes: int | None
) -> tuple[Detections, Detections]:
    check_boxes(batch, classes)
    true = [{"boxes": boxes, "labels": labels} for boxes, labels in by_image(batch.targets)]
    return detect(outputs, batch), true


def _check(
    outputs: Any,
    batch: Batch,
    *,
    detect: Callable[[Any, Batch], Detections],
    loss: Callable[[Any, Any], Any] | None,
    classes: int | None,
) -> None:
    check_boxes(batch, classes)
    if isinstance(outputs, Answer):
        _loss_function(outputs, loss)
    with torch.no_grad():
        detections = detect(outputs, batch)
    if len(detections) != batch.examples:
        raise InvalidInput(f"decode returns boxes of {len(detections)} images for {batch.examples}; give them by image")
    for each in detections:
        count = len(each["boxes"])
        shapes = {"boxes": (count, 4), "scores": (count,), "labels": (count,)}
        for name, shape in shapes.items():
            if name not in each or tuple(each[name].shape) != shape:
                has = tuple(each[name].shape) if name in each else "missing"
                raise InvalidInput(f"decode gives an image {name} of shape {has}; {name} must be {shape}")
