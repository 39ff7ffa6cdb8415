"""Arrays of any rank with targets of any kind, from memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ofa.data import from_arrays
from ofa.data.contents import PARTS
from ofa.errors import InvalidInput

COUNT = 60


def numbered(*shape: int) -> np.ndarray[Any, Any]:
    rows = np.arange(COUNT, dtype=np.float32).reshape(-1, *[1] * len(shape))
    return np.broadcast_to(rows, (COUNT, *shape)).copy()


TARGETS: dict[str, Any] = {
    "labels": np.arange(COUNT) % 3,
    "numbers": np.arange(COUNT, dtype=np.float64),
    "rows": numbered(4),
    "truths": numbered(3) % [2, 3, 5] == 0,
    "masks": (numbered(5, 6) % 4).astype(np.int16),
    "boxes": {"boxes": numbered(2, 4), "labels": np.arange(COUNT)[:, None] % np.array([3, 4])},
    "none": None,
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("shape", [(7,), (3, 16), (12, 5, 6), (2, 3, 4, 5)])
def test_every_example_is_in_one_split_with_its_target(shape: tuple[int, ...], kind: str) -> None:
    data = from_arrays(numbered(*shape), TARGETS[kind], outputs=1)
    assert data.input_shape == shape
    seen = []
    for part in PARTS:
        for inputs, targets in getattr(data, part).in_order(7):
            rows = inputs.flatten(1)[:, 0].long()
            seen += rows.tolist()
            if isinstance(TARGETS[kind], np.ndarray):
                assert np.array_equal(targets.numpy(), TARGETS[kind][rows.numpy()])
            elif TARGETS[kind] is not None:
                assert np.array_equal(targets["boxes"].numpy(), TARGETS[kind]["boxes"][rows.numpy()])
    assert sorted(seen) == list(range(COUNT))


def test_types_become_those_of_networks() -> None:
    kinds = {name: from_arrays(numbered(3), targets, outputs=1).train.targets for name, targets in TARGETS.items()}
    assert kinds["labels"].dtype == kinds["masks"].dtype == torch.int64
    assert kinds["numbers"].dtype == torch.float32 and kinds["truths"].dtype == torch.bool
    assert from_arrays(numbered(3).astype(np.float64)).train.first[0].dtype == torch.float32
    ids = from_arrays((numbered(9) % 5).astype(np.int32), TARGETS["labels"])
    assert ids.train.first[0].dtype == torch.int64 and ids.example().dtype == torch.int64
    bytes_ = from_arrays((numbered(6, 4, 4) % 256).astype(np.uint8), TARGETS["labels"])
    torch.testing.assert_close(bytes_.train.images.mean((0, 2, 3)), torch.zeros(6), atol=1e-4, rtol=0)
    assert from_arrays(numbered(3)).example().dtype == torch.float32


def test_outputs_and_classes_follow_from_targets() -> None:
    made = {name: from_arrays(numbered(3), targets) for name, targets in TARGETS.items()}
    assert made["labels"].num_classes == 3 and made["labels"].num_outputs == 3
    assert [made[name].num_outputs for name in ("numbers", "rows", "truths")] == [1, 4, 3]
    assert all(made[name].num_classes is None for name in ("numbers", "rows", "truths", "masks"))


@pytest.mark.parametrize("shape", [(5,), (3, 16)])
def test_standardized_channels_have_mean_0_and_deviation_1(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(3, 2, (COUNT, *shape)) * np.arange(1, shape[0] + 1).reshape(-1, *[1] * (len(shape) - 1))
    data = from_arrays(inputs, TARGETS["numbers"], standardize=True)
    seen = data.train.images.transpose(0, 1).flatten(1)
    torch.testing.assert_close(seen.mean(1), torch.zeros(shape[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen.std(1, correction=0), torch.ones(shape[0]), atol=1e-3, rtol=0)
    assert data.test.preprocessing == data.train.preprocessing


def test_groups_and_own_splits() -> None:
    groups = np.arange(COUNT) // 5
    data = from_arrays(numbered(3), groups.astype(np.float32), groups=groups)
    found = [set(getattr(data, part).targets.tolist()) for part in PARTS]
    assert sum(map(len, found)) == len(set.union(*found)) == 12
    own = (numbered(3)[:4] + 100, TARGETS["labels"][:4])
    data = from_arrays(numbered(3), TARGETS["labels"], validation=own, test=own)
    assert [len(getattr(data, part)) for part in PARTS] == [COUNT, 4, 4]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"inputs": "cats"}, "train inputs are str"),
        ({"inputs": np.array([["a"]] * 9)}, "give a tensor or an array of numbers"),
        ({"inputs": numbered()}, r"train inputs of shape \(60,\) and torch\.float32: give numbers \(N, C, \.\.\.\)"),
        ({"inputs": np.full((COUNT, 2), np.nan)}, "60 of 60 train inputs hold NaN or infinity"),
        ({"targets": np.arange(9)}, r"inputs \(60, 3\) do not fit 9 labels"),
        ({"targets": np.array(["cat"] * COUNT)}, "targets are an array of <U3"),
        ({"validation": 7}, "validation=7 must be a fraction"),
        ({"validation": 0.7, "test": 0.7}, "together they must be below 1"),
        ({"targets": TARGETS["labels"], "num_classes": 2}, "labels run from 0 to 2; 2 classes"),
        ({"targets": TARGETS["rows"], "target_names": ["a"]}, "1 target_names for targets of 4 columns"),
        ({"groups": [1] * COUNT}, "groups has 1 different values"),
    ],
)
def test_what_does_not_fit_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        from_arrays(**{"inputs": numbered(3), "targets": None, **given})
