"""Pixels keep their values: 12 bits in 16, 16 bits per channel, floating point, palettes, alpha and EXIF."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ofa.data import hub
from ofa.errors import InvalidInput

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("datasets")

from tests.ofa.data.pictures import Pixels, decoded, encoded, png16  # noqa: E402


def deep(*shape: int, top: int = 65536) -> Pixels:
    return np.random.default_rng(0).integers(0, top, shape).astype(np.uint16)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_gray_of_16_bits_is_read_whole(kind: str) -> None:
    pixels = deep(5, 6)
    image = decoded(encoded(pixels, kind))
    assert image.dtype == torch.uint16 and torch.equal(image, torch.from_numpy(pixels)[None])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_a_channel_is_read_whole(channels: int) -> None:
    pixels = deep(5, 7, channels)
    colors = pixels[:, :, : 1 if channels < 3 else 3]  # alpha is left out
    image = decoded(png16(pixels))
    assert image.dtype == torch.uint16
    assert image.tolist() == colors.transpose(2, 0, 1).tolist()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_tiff_of_three_times_16_bits_is_read_whole(order: str, packed: bool) -> None:
    pixels = deep(4, 5, 3)
    image = decoded(tiff16([pixels], order, packed))
    assert image.dtype == torch.uint16
    assert torch.equal(image, torch.from_numpy(pixels.transpose(2, 0, 1).copy()))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("packed", [False, True])
def test_tiff_of_16_bits_whose_channels_lie_apart_is_refused(order: str, packed: bool) -> None:
    pixels = deep(4, 5, 3)
    with pytest.raises(InvalidInput, match="16 bits per channel in planes of their own cannot be read"):
        decoded(tiff16([pixels[:, :, channel] for channel in range(3)], order, packed))


def tiff16(planes: Sequence[Pixels], order: str, packed: bool) -> bytes:
    """Returns one (H, W, 3), or three (H, W), as a TIFF of that byte order, `packed` by deflate."""
    number, long = np.dtype(order + "u2"), np.dtype(order + "u4")
    strips = [np.ascontiguousarray(plane).astype(number).tobytes() for plane in planes]
    if packed:
        strips = [zlib.compress(strip) for strip in strips]
    (height, width, *_), sizes = planes[0].shape, [len(strip) for strip in strips]
    tags: list[tuple[int, int, list[int]]] = [
        *((256, 3, [width]), (257, 3, [height]), (258, 3, [16] * 3), (259, 3, [8 if packed else 1]), (262, 3, [2])),
        *((277, 3, [3]), (278, 3, [height]), (284, 3, [1 if len(planes) == 1 else 2]), (279, 4, sizes)),
    ]
    start = 8 + 2 + 12 * (len(tags) + 1) + 4
    pixels_at = start + 6 + (8 * len(strips) if len(strips) > 1 else 0)
    tags.append((273, 4, [pixels_at + sum(sizes[:index]) for index in range(len(sizes))]))
    fields, beside = b"", b""
    for tag, kind, values in sorted(tags):
        data = np.array(values, number if kind == 3 else long).tobytes()
        if len(data) > 4:
            data, beside = np.array([start + len(beside)], long).tobytes(), beside + data
        head = np.array([tag, kind], number).tobytes() + np.array([len(values)], long).tobytes()
        fields += head + data.ljust(4, b"\0")
    begin = (b"II" if order == "<" else b"MM") + np.array([42], number).tobytes() + np.array([8], long).tobytes()
    directory = np.array([len(tags)], number).tobytes() + fields + bytes(4)
    return b"".join([begin, directory, beside.ljust(pixels_at - start, b"\0"), *strips])


def test_float_tiff_is_read_as_it_is() -> None:
    pixels = np.random.default_rng(0).random((5, 6)).astype(np.float32) * 3 - 1
    image = decoded(encoded(pixels, "TIFF"))
    assert image.dtype == torch.float32 and torch.equal(image, torch.from_numpy(pixels)[None])
    with pytest.raises(InvalidInput, match="NaN or infinite"):
        decoded(encoded(np.full((3, 3), np.nan, np.float32), "TIFF"))


def test_16_bits_are_resized_repeated_and_made_gray_without_losing_any() -> None:
    flat = np.full((9, 12, 3), 0, np.uint16) + np.array([1001, 2002, 3003], np.uint16)
    image = decoded(png16(flat), size=4)
    assert image.shape == (3, 4, 4) and image.to(torch.int32).amax((1, 2)).tolist() == [1001, 2002, 3003]
    gray = decoded(png16(flat), channels=1)
    assert gray.to(torch.int32).unique().tolist() == [round(0.299 * 1001 + 0.587 * 2002 + 0.114 * 3003)]
    assert torch.equal(*decoded(encoded(deep(5, 6)), channels=3)[:2])


def folder_of(tmp_path: Path, images: list[bytes], suffix: str) -> dict[str, Any]:
    for number, content in enumerate(images):
        path = tmp_path / "data" / "ab"[number % 2] / f"{number}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    cuts = {"validation": None, "test": None, "validation_fraction": 0.3, "test_fraction": 0.3}
    return {"path": str(tmp_path / "data"), "cache_dir": str(tmp_path / "cache"), **cuts}


@pytest.mark.parametrize(("top", "scale"), [(200, 255), (4096, 4095), (16384, 16383), (65536, 65535)])
@pytest.mark.parametrize("memory", [2048, 0])
def test_the_scale_is_the_range_that_pixels_use_and_the_card_says_it(
    tmp_path: Path, top: int, scale: int, memory: int
) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(0, top, (6, 6)).astype(np.uint16) for _ in range(30)]
    images[3][0, 0] = top - 1
    data = hub(**folder_of(tmp_path, [encoded(image) for image in images], "png"), memory_limit_mib=memory)
    card = data.preprocessing
    assert card["scale"] == scale and f"0 to {scale}" in card["pixels"]
    assert 0.2 < data.train.preprocessing.std[0] < 0.4
    numbers = data.test.stored(torch.arange(len(data.test)))
    by_hand = (numbers.double() / card["scale"] - card["mean"][0]) / card["std"][0]
    torch.testing.assert_close(data.test.take(torch.arange(len(data.test)))[0].double(), by_hand, atol=1e-5, rtol=0)


def test_float_images_have_a_scale_and_one_can_be_given(tmp_path: Path) -> None:
    images = [np.random.default_rng(seed).random((6, 6)).astype(np.float32) * 40 for seed in range(30)]
    options = folder_of(tmp_path, [encoded(image, "TIFF") for image in images], "tif")
    assert 35 < hub(**options).preprocessing["scale"] <= 40
    assert hub(**options, scale=80).preprocessing["scale"] == 80


def test_images_of_two_depths_are_refused_by_name(tmp_path: Path) -> None:
    images = [encoded(deep(6, 6, top=1000 * number + 1)) for number in range(40)]
    images[3] = encoded(np.zeros((6, 6), np.uint8))
    with pytest.raises(InvalidInput, match=r"3\.png\): pixels are uint8 where the first image's are uint16"):
        hub(**folder_of(tmp_path, images, "png"))


def test_palettes_alpha_cmyk_and_one_bit_become_the_colors_that_are_seen() -> None:
    red = np.zeros((4, 4, 3), np.uint8)
    red[:, :, 0] = 255
    saved = {}
    for mode in ("P", "RGBA", "CMYK"):
        image = Image.fromarray(red).convert(mode)
        buffer = io.BytesIO()
        image.save(buffer, format="TIFF" if mode == "CMYK" else "PNG")
        saved[mode] = decoded(buffer.getvalue(), channels=3)
        assert decoded(buffer.getvalue(), channels=1).unique().tolist() == [76]
    assert all(torch.equal(pixels, torch.from_numpy(red.transpose(2, 0, 1).copy())) for pixels in saved.values())
    gray = Image.fromarray(np.array([[0, 255]], np.uint8))
    for mode in ("1", "LA"):
        buffer = io.BytesIO()
        gray.convert(mode).save(buffer, format="PNG")
        assert decoded(buffer.getvalue()).tolist() == [[[0, 255]]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_images_are_turned_as_their_exif_says(kind: str) -> None:
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255  # the left half; turned a quarter to the right it is the upper one
    image = Image.fromarray(pixels).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    image.save(buffer, format=kind, exif=exif)
    seen = decoded(buffer.getvalue(), channels=1)
    assert seen.shape == (1, 32, 16)
    assert seen[0, :12].float().mean() > 200 and seen[0, 20:].float().mean() < 50
