"""RandAugment: nothing at 0, more with magnitude, every image its own, and each move where it should go."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from ofa.data import batches, synthetic
from ofa.data.augment import random_shift
from ofa.data.rand_augment import GEOMETRIC, OPERATIONS, rand_augment
from ofa.errors import InvalidInput

SHAPES = [(1, 8, 8), (3, 8, 8), (3, 9, 14), (1, 28, 28), (3, 32, 32)]


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth(count: int = 64, channels: int = 3, height: int = 16, width: int = 16) -> Tensor:
    """Returns images of coarse random patches, all values in [0, 1]."""
    coarse = torch.rand(count, channels, 4, 4, generator=drawn(7))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear").clamp(0, 1)


def dot(height: int, width: int, row: int, column: int, count: int = 16) -> Tensor:
    images = torch.zeros(count, 1, height, width)
    images[:, :, row, column] = 1
    return images


def centers(images: Tensor) -> Tensor:
    """Returns (N, 2): row and column of the center of brightness of each image, from the image's center."""
    height, width = images.shape[2:]
    shares = images.sum(1) / images.sum((1, 2, 3))[:, None, None]
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return torch.stack([(shares.sum(2) * rows).sum(1), (shares.sum(1) * columns).sum(1)], 1)


def apart(images: Tensor, others: Tensor) -> Tensor:
    """Returns (N,): the mean absolute difference of each pair."""
    return (images - others).abs().mean((1, 2, 3))


@pytest.mark.parametrize("strength", [{"operations": 0}, {"magnitude": 0}, {"magnitude": 0.0}])
def test_nothing_is_the_identity(strength: dict[str, float]) -> None:
    images = torch.rand(40, 3, 8, 8)
    assert torch.equal(rand_augment(images, drawn(), **strength), images)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_dtype_and_range_are_kept(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    images = torch.rand(60, *shape, dtype=dtype)
    before = images.clone()
    changed = rand_augment(images, drawn(), operations=3, magnitude=10)
    assert changed.shape == images.shape and changed.dtype == dtype
    assert changed.min() >= -1e-6 and changed.max() <= 1 + 1e-6
    assert torch.equal(images, before)
    assert (apart(changed, images) > 1e-3).float().mean() > 0.9


def test_a_generator_state_decides() -> None:
    images = smooth()
    same, again, other = (rand_augment(images, drawn(seed)) for seed in (1, 1, 2))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_the_global_random_state_is_left_alone() -> None:
    state = torch.get_rng_state()
    rand_augment(smooth(), drawn())
    assert torch.equal(torch.get_rng_state(), state)


def test_batches_are_a_function_of_seed_and_step() -> None:
    split = synthetic(image_size=8, channels=1, num_classes=3, samples=100).train
    arguments = {"seed": 3, "epoch": 1, "augment": partial(rand_augment, operations=2, magnitude=6.5)}
    whole = [images for images, _ in batches(split, 10, **arguments)]
    rest = [images for images, _ in batches(split, 10, start=4, **arguments)]
    assert len(rest) == 2 and all(map(torch.equal, whole[4:], rest))


@pytest.mark.parametrize("channels", [1, 3])
def test_disturbance_grows_with_magnitude_and_operations(channels: int) -> None:
    images = smooth(400, channels)
    by_magnitude = [
        apart(rand_augment(images, drawn(), magnitude=m), images).mean().item() for m in (0, 0.5, 2, 4, 7, 10)
    ]
    by_operations = [apart(rand_augment(images, drawn(), operations=n), images).mean().item() for n in range(5)]
    assert by_magnitude == sorted(set(by_magnitude)) and by_operations == sorted(set(by_operations))


@pytest.mark.parametrize("name", [name for name in OPERATIONS if name != "identity"])
def test_each_operation_disturbs_more_when_stronger(name: str) -> None:
    images = smooth(200)
    apply = partial(rand_augment, operations=1, among=[name])
    disturbance = [apart(apply(images, drawn(), magnitude=m), images).mean().item() for m in (0, 0.01, 2, 4, 7, 10)]
    assert disturbance == sorted(set(disturbance))
    assert disturbance[1] < 0.003  # it sets in without a jump


def test_images_of_a_batch_get_different_operations() -> None:
    image = smooth(1)
    count, among = 1200, [name for name in OPERATIONS if name != "cutout"]  # whose place is random too
    batch = rand_augment(image.expand(count, -1, -1, -1), drawn(), operations=1, magnitude=7, among=among)
    seen = {}
    for name in among:
        alone = rand_augment(image.expand(30, -1, -1, -1), drawn(), operations=1, magnitude=7, among=[name])
        variants = [one for number, one in enumerate(alone) if not any(torch.allclose(one, o) for o in alone[:number])]
        assert len(variants) == (1 if name in ("identity", "posterize") else 2)  # the two directions
        seen[name] = [int((apart(batch, one[None]) < 1e-6).sum()) for one in variants]
    assert sum(map(sum, seen.values())) == count
    fair = count / len(among)
    assert all(0.6 * fair < sum(counts) < 1.5 * fair for counts in seen.values())
    assert all(min(counts) > 0.3 * sum(counts) for counts in seen.values())


def test_operations_follow_one_another() -> None:
    images = dot(20, 20, 10, 10, count=200)
    both = rand_augment(images, drawn(), operations=2, magnitude=5, among=["shift_x", "shift_y"])
    places = {tuple(round(value) for value in offset) for offset in (centers(both) - centers(images)).tolist()}
    assert places == {(0, 0), (6, 0), (-6, 0), (0, 6), (0, -6), (3, 3), (3, -3), (-3, 3), (-3, -3)}


@pytest.mark.parametrize(("name", "axis", "pixels"), [("shift_x", 1, 6), ("shift_y", 0, 3)])
def test_shift_moves_a_dot_by_the_share_of_its_side(name: str, axis: int, pixels: int) -> None:
    images = dot(10, 20, 5, 10)
    moved = rand_augment(images, drawn(), operations=1, magnitude=10, among=[name])
    for image in moved:
        position = (image[0] > 0.999).nonzero().tolist()
        assert len(position) == 1 and image.sum().item() == pytest.approx(1, abs=1e-4)
        (position,) = position
        assert abs(position[axis] - (5, 10)[axis]) == pixels and position[1 - axis] == (5, 10)[1 - axis]
    assert len({tuple(image.nonzero()[0].tolist()) for image in (moved > 0.5)}) == 2


def test_shift_by_half_a_pixel_interpolates() -> None:
    moved = rand_augment(dot(9, 10, 4, 5), drawn(), operations=1, magnitude=10 / 6, among=["shift_x"])
    row = moved[0, 0, 4]
    assert row[5].item() == pytest.approx(0.5, abs=1e-5)
    assert max(row[4], row[6]).item() == pytest.approx(0.5, abs=1e-5)


def test_shear_moves_rows_in_proportion_to_their_height() -> None:
    images = torch.zeros(16, 1, 21, 21)
    images[:, :, :, 10] = 1  # a vertical line through the center
    sheared = rand_augment(images, drawn(), operations=1, magnitude=10, among=["shear_x"])
    columns = (sheared[:, 0] * torch.arange(21)).sum(2) / sheared[:, 0].sum(2) - 10
    heights = torch.arange(21) - 10.0
    signs = columns[:, -1].sign()
    assert set(signs.tolist()) == {-1.0, 1.0}
    assert torch.allclose(columns, signs[:, None] * 0.3 * heights, atol=1e-4)
    across = rand_augment(images.transpose(2, 3), drawn(), operations=1, magnitude=10, among=["shear_y"])
    assert torch.allclose(across, sheared.transpose(2, 3), atol=1e-5)


@pytest.mark.parametrize("size", [(41, 41), (41, 61)])
def test_rotate_turns_by_the_angle_in_pixels(size: tuple[int, int]) -> None:
    images = dot(*size, size[0] // 2, size[1] // 2 + 14)
    turned = rand_augment(images, drawn(), operations=1, magnitude=10, among=["rotate"])
    angles = torch.rad2deg(torch.atan2(*centers(turned).unbind(1)))
    assert torch.allclose(angles.abs(), torch.tensor(30.0), atol=1)
    assert set(angles.sign().tolist()) == {-1.0, 1.0}
    assert torch.allclose(centers(turned).norm(dim=1), torch.tensor(14.0), atol=0.3)


def test_zoom_moves_a_dot_from_or_to_the_centre() -> None:
    zoomed = rand_augment(dot(41, 61, 20, 40), drawn(), operations=1, magnitude=10, among=["zoom"])
    distances = centers(zoomed)[:, 1]
    assert sorted({round(distance, 1) for distance in distances.tolist()}) == pytest.approx([10 / 1.4, 14], abs=0.5)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_what_comes_in_from_outside_is_black(name: str) -> None:
    moved = rand_augment(torch.ones(40, 3, 12, 12), drawn(), operations=1, magnitude=10, among=[name])
    lost = (moved < 0.01).flatten(1).any(1).float().mean()
    assert lost == 1 if name != "zoom" else 0.2 < lost < 0.8  # enlarging loses the border, and brings nothing in


def test_single_channel_images_do_not_draw_saturation() -> None:
    grey = torch.rand(20, 1, 8, 8)
    assert torch.equal(rand_augment(grey, drawn(), among=["saturation"]), grey)
    changed = rand_augment(smooth(300, 1), drawn(), operations=1, magnitude=10, among=["saturation", "brightness"])
    assert (apart(changed, smooth(300, 1)) > 0).all()


def test_the_first_augmentation_comes_before() -> None:
    images = torch.rand(20, 1, 8, 8)
    shift = partial(random_shift, pixels=2)
    expected = random_shift(images, drawn(), pixels=2)
    assert torch.equal(rand_augment(images, drawn(), first=shift, magnitude=0), expected)
    state = drawn()
    assert torch.equal(
        rand_augment(images, drawn(), first=shift), rand_augment(random_shift(images, state, pixels=2), state)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operations": -1}, "operations=-1"),
        ({"operations": 1.5}, r"operations=1\.5"),
        ({"magnitude": 10.5}, r"magnitude=10\.5: must be a number from 0 to 10"),
        ({"magnitude": -1}, "magnitude=-1"),
        ({"magnitude": float("nan")}, "magnitude=nan"),
        ({"magnitude": "strong"}, "magnitude='strong'"),
        ({"among": ["rotation"]}, "'rotation'.*rotate"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        rand_augment(torch.rand(2, 1, 8, 8), drawn(), **arguments)


@pytest.mark.gpu
def test_cuda_images_get_what_cpu_images_get() -> None:
    images = smooth()
    there = rand_augment(images.cuda(), drawn(), operations=3, magnitude=8)
    assert there.is_cuda
    # Rounding can send a value to the next posterize level, so a pixel may differ; an operation may not.
    assert apart(there.cpu(), rand_augment(images, drawn(), operations=3, magnitude=8)).max() < 1e-3
