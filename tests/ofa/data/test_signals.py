"""Signals: generated ones can be told apart; sounds of every width are read as what was written."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
import torch

from ofa.data import generated_signals, sounds
from ofa.data.checks import check_data
from ofa.data.contents import PARTS, contents_of
from ofa.errors import InvalidInput

RATE = 8000


def test_generated_signals_are_learnable_and_seeded() -> None:
    data = generated_signals(samples=400, length=64, channels=3)
    assert data.input_shape == (3, 64) and data.num_classes == 4 and check_data(data) == []
    spectrum = torch.fft.rfft(data.test.images).abs().sum(1)
    guess = spectrum[:, 1:5].argmax(1)
    assert (guess == data.test.labels).float().mean() > 0.95
    again, other = (generated_signals(samples=400, length=64, channels=3, seed=seed) for seed in (0, 1))
    assert contents_of(data).digests == contents_of(again).digests != contents_of(other).digests
    with pytest.raises(InvalidInput, match="generated_signals length=8"):
        generated_signals(length=8)


def write(file: Path, values: np.ndarray, width: int, rate: int = RATE) -> None:
    """Writes values (samples, channels) in [-1, 1]."""
    file.parent.mkdir(parents=True, exist_ok=True)
    numbers = np.round(values * (2 ** (8 * width - 1) - 1)).astype(np.int64)
    if width == 1:
        raw = (numbers + 128).astype(np.uint8).tobytes()
    else:
        raw = numbers.astype("<i8").view(np.uint8).reshape(*numbers.shape, 8)[..., :width].tobytes()
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(values.shape[1])
        sound.setsampwidth(width)
        sound.setframerate(rate)
        sound.writeframes(raw)


def waves(count: int, channels: int) -> np.ndarray:
    times = np.arange(count)[:, None] / 20 + np.arange(channels) / 3
    return np.sin(times) * 0.9


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_sounds_of_every_width_are_read(width: int, tmp_path: Path) -> None:
    for row in range(20):
        write(
            tmp_path / f"{'dog' if row % 2 else 'cat'}" / f"{row:02}.wav",
            waves(60 + row % 3, 2) * (row + 1) / 20,
            width,
        )
    data = sounds(str(tmp_path), standardize=False, validation=0.2, test=0.2)
    assert data.class_names == ("cat", "dog") and data.input_shape == (2, 62)
    every = torch.cat([getattr(data, part).images for part in PARTS])
    labels = torch.cat([getattr(data, part).labels for part in PARTS])
    row = int(every[:, 0, 1:60].abs().amax(1).argmax())
    expected = torch.from_numpy(waves(61, 2).T.copy()).float()
    assert int(labels[row]) == 1
    torch.testing.assert_close(every[row, :, :61], expected, atol=2.0 ** (2 - 8 * width) + 1e-6, rtol=0)
    assert sounds(str(tmp_path), seconds=0.005).input_shape == (2, 40)
    standard = sounds(str(tmp_path)).train.images
    torch.testing.assert_close(standard.mean((0, 2)), torch.zeros(2), atol=1e-4, rtol=0)


def test_sounds_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has 0 \.wav files in 0 folders"):
        sounds(str(tmp_path))
    write(tmp_path / "a/1.wav", waves(50, 1), 2)
    write(tmp_path / "b/2.wav", waves(50, 1), 2, rate=RATE * 2)
    with pytest.raises(InvalidInput, match=r"2\.wav has 1 channels at 16000 Hz, 1\.wav 1 at 8000 Hz"):
        sounds(str(tmp_path))
    (tmp_path / "b/2.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(InvalidInput, match=r"cannot read .*2\.wav as \.wav"):
        sounds(str(tmp_path))
