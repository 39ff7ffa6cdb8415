"""Data sets of arrays of any rank with targets of any kind: tables, signals, images of any number of channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ofa.data.dataset import Dataset, Split, ordered
from ofa.data.held_out import held_out
from ofa.data.preprocessing import Preprocessing
from ofa.data.statistics import preprocessing_of
from ofa.data.stored_arrays import StoredArray, stored_array
from ofa.data.targets import Targets, are_labels, check_targets, rows_of_targets
from ofa.errors import InvalidInput


def from_arrays(
    inputs: Any,
    targets: Any = None,
    *,
    validation: float | tuple[Any, Any] = 0.2,
    test: float | tuple[Any, Any] = 0.2,
    standardize: bool = False,
    groups: Any = None,
    seed: int = 0,
    name: str = "arrays",
    num_classes: int | None = None,
    class_names: Sequence[str] = (),
    target_names: Sequence[str] = (),
    outputs: int | None = None,
) -> Dataset:
    """Returns the Dataset of inputs (N, ...), and targets of any kind: tensors or arrays of NumPy.

    Args:
        inputs: floating point: rows of a table (N, C), signals (N, C, T), images (N, C, H, W) of any number of
            channels; whole numbers are token ids, and uint8 of three or more dimensions images, normalized by channel.
            Of `numpy.load(file, mmap_mode="r")` rows are read when they are needed, and not looked through for NaN.
        targets: labels (N,), numbers or truth values (N,) or (N, K), masks (N, H, W), a dictionary of those, a list of
            N entries, or None.
        validation, test: the fraction of the examples that each takes, as a function of `seed`, labels of every class
            alike; or a pair (inputs, targets) of its own. What is left is trained on.
        standardize: whether channels of floating-point inputs are given mean 0 and standard deviation 1 over the
            training split.
        groups: one value for each example that may not be in two splits, such as a patient or a recording.
        seed: of the cut.
        name: of the data set, in cards and reports.
        num_classes, class_names, target_names, outputs: see `Dataset`; of labels as many classes as they show where
            nothing is given.

    Raises:
        InvalidInput: shapes, types or counts that do not fit, or fractions that leave a split empty.
    """
    given = {"train": (_inputs("train", inputs), as_targets(targets))}
    count = given["train"][0].shape[0]
    check_targets(given["train"][1], count, f"inputs {tuple(given['train'][0].shape)}")
    cut: dict[str, float] = {}
    for part, value in (("validation", validation), ("test", test)):
        if isinstance(value, float):
            cut[part] = value
        elif isinstance(value, tuple) and len(value) == 2:
            given[part] = (_inputs(part, value[0]), as_targets(value[1]))
        else:
            raise InvalidInput(f"{part}={value!r:.60} must be a fraction, such as 0.2, or a pair (inputs, targets)")
    if cut:
        whole, of_whole = given["train"]
        labels = of_whole if are_labels(of_whole) else None
        rows = held_out(count, cut, seed=seed, labels=labels, groups=groups)
        given |= {part: (_rows(whole, index), rows_of_targets(of_whole, index)) for part, index in rows.items()}
    preprocessing = _preprocessing(given["train"][0], standardize)
    origins = {part: f"{100 * share:g} % of arrays" for part, share in cut.items()}
    splits = {
        part: Split(held, of_held, preprocessing, origin=origins.get(part, "arrays"))
        for part, (held, of_held) in given.items()
    }
    classes = num_classes or len(class_names) or None
    if classes is None and are_labels(given["train"][1]) and outputs is None:
        classes = 1 + max(int(of_held.max()) for _, of_held in given.values())
    return Dataset(
        name,
        *ordered(splits),
        num_classes=classes,
        class_names=tuple(class_names),
        target_names=tuple(target_names),
        outputs=outputs,
    )


def as_targets(targets: Any) -> Targets:
    """Returns targets with their arrays as tensors: whole numbers as int64, floating point as float32.

    Raises:
        InvalidInput: an array of something else than numbers.
    """
    if isinstance(targets, Mapping):
        return {name: as_targets(part) for name, part in targets.items()}
    if isinstance(targets, np.ndarray):
        if targets.dtype.kind not in "biuf":
            raise InvalidInput(f"targets are an array of {targets.dtype}; give numbers, or class names as numbers")
        # What is mapped is held from here on.
        targets = torch.from_numpy(np.array(targets, copy=True if isinstance(targets, np.memmap) else None, order="C"))
    if isinstance(targets, Tensor) and targets.dtype != torch.bool:
        return targets.float() if targets.is_floating_point() else targets.long()
    return targets


def _rows(inputs: Tensor | StoredArray, rows: Tensor) -> Tensor | StoredArray:
    return inputs.chosen(rows) if isinstance(inputs, StoredArray) else inputs[rows]


def _inputs(part: str, inputs: Any) -> Tensor | StoredArray:
    if isinstance(inputs, np.memmap) and inputs.ndim > 1 and inputs.dtype.kind in "iuf":
        return stored_array(inputs)
    try:
        held = torch.as_tensor(inputs)
    except (TypeError, ValueError, RuntimeError):
        kind = getattr(inputs, "dtype", type(inputs).__name__)
        raise InvalidInput(f"{part} inputs are {kind}; give a tensor or an array of numbers") from None
    if held.dim() < 2 or held.is_complex() or held.dtype == torch.bool:
        raise InvalidInput(f"{part} inputs of shape {tuple(held.shape)} and {held.dtype}: give numbers (N, C, ...)")
    if held.is_floating_point():
        held = held.float()
        if bad := int((~torch.isfinite(held)).flatten(1).any(1).sum()):
            raise InvalidInput(f"{bad} of {len(held)} {part} inputs hold NaN or infinity; leave them out or fill them")
        return held
    return held if held.dtype == torch.uint8 and held.dim() > 2 else held.long()


def _preprocessing(inputs: Tensor | StoredArray, standardize: bool) -> Preprocessing:
    if inputs.dtype == torch.uint8:
        return preprocessing_of(inputs, scale=255.0, stored="8 bits, 0 to 255")
    if not inputs.dtype.is_floating_point:
        return Preprocessing(1.0, (), (), stored="token ids")
    if standardize:
        return preprocessing_of(inputs, scale=1.0, stored="floating point")
    channels = inputs.shape[1]
    return Preprocessing(1.0, (0.0,) * channels, (1.0,) * channels, stored="floating point, as the network takes it")
