"""Signals (N, C, T): made up for tests and timings, or sounds in .wav files, read with Python's own library."""

from __future__ import annotations

import math
import wave
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ofa.data.array_sets import from_arrays
from ofa.data.dataset import Dataset
from ofa.errors import InvalidInput, is_whole

_WIDTHS = {1: 2.0**7, 2: 2.0**15, 3: 2.0**23, 4: 2.0**31}  # by bytes of a number in a file: where its range ends


def generated_signals(
    *,
    length: int = 128,
    channels: int = 2,
    num_classes: int = 4,
    samples: int = 1024,
    noise: float = 0.5,
    validation: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Dataset:
    """Returns signals (channels, length), a wave each of its class's frequency and any phase, plus noise.

    Class c has c + 1 whole waves, every channel a phase of its own, and the noise the standard deviation `noise`.

    Raises:
        InvalidInput: a size that is too small, or fractions that do not fit.
    """
    least = {"length": 4 * num_classes, "channels": 1, "num_classes": 2, "samples": 10 * num_classes}
    given = {"length": length, "channels": channels, "num_classes": num_classes, "samples": samples}
    for name, value in given.items():
        if not is_whole(value, least[name]):
            raise InvalidInput(f"generated_signals {name}={value}: must be a whole number, at least {least[name]}")
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % num_classes
    phases = torch.rand((samples, channels, 1), generator=generator)
    times = torch.arange(length) / length
    signals = torch.sin(2 * math.pi * ((labels + 1)[:, None, None] * times + phases))
    signals = signals + noise * torch.randn(signals.shape, generator=generator)
    return from_arrays(
        signals,
        labels,
        validation=float(validation),
        test=float(test),
        seed=seed,
        name="signals",
        num_classes=num_classes,
    )


def sounds(
    path: str,
    *,
    seconds: float | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    standardize: bool = True,
    seed: int = 0,
    name: str | None = None,
) -> Dataset:
    """Returns the sounds of a folder with a folder of .wav files for each class, as signals (channels, samples).

    Args:
        path: of the folder; PCM of 8 to 32 bits, all of one sample rate and number of channels.
        seconds: shorter sounds are filled up with silence, longer ones cut off; None: as long as the longest.
        validation, test: the fraction of the sounds that each takes, classes shared out alike.
        standardize: whether channels get mean 0 and standard deviation 1 over the training split.
        seed: of the cut.
        name: of the data set; the folder's where None.

    Raises:
        InvalidInput: no such files, a file that is damaged or of another rate, or fractions that do not fit.
    """
    root = Path(path).expanduser()
    files = sorted(file for file in root.glob("*/*") if file.suffix.lower() == ".wav")
    classes = sorted({file.parent.name for file in files})
    if len(classes) < 2:
        raise InvalidInput(
            f"{path} has {len(files)} .wav files in {len(classes)} folders; give two folders, one a class"
        )
    read = [_wave(file) for file in files]
    (first, rate), channels = read[0], read[0][0].shape[0]
    for file, (sound, other) in zip(files, read, strict=True):
        if (other, sound.shape[0]) != (rate, channels):
            raise InvalidInput(
                f"{file} has {sound.shape[0]} channels at {other} Hz, {files[0].name} {channels} at {rate} Hz; "
                "convert them to one form"
            )
    length = max(sound.shape[1] for sound, _ in read) if seconds is None else round(seconds * rate)
    if length < 1:
        raise InvalidInput(f"seconds={seconds} are {length} samples at {rate} Hz: give more")
    signals = torch.zeros(len(files), channels, length, dtype=first.dtype)
    for row, (sound, _) in enumerate(read):
        signals[row, :, : sound.shape[1]] = sound[:, :length]
    labels = torch.tensor([classes.index(file.parent.name) for file in files])
    return from_arrays(
        signals,
        labels,
        validation=float(validation),
        test=float(test),
        standardize=standardize,
        seed=seed,
        name=name or root.name,
        class_names=classes,
    )


def _wave(file: Path) -> tuple[Tensor, int]:
    """The sound (channels, samples) in [-1, 1], and its sample rate."""
    try:
        with wave.open(str(file), "rb") as sound:
            channels, width, rate, frames, _, _ = sound.getparams()
            raw = sound.readframes(frames)
    except (wave.Error, EOFError, OSError) as error:
        raise InvalidInput(f"cannot read {file} as .wav: {error or 'it ends too early'}") from None
    if width not in _WIDTHS or len(raw) % (width * channels):
        raise InvalidInput(f"{file} has {8 * width} bits a sample, or ends too early; give PCM of 8 to 32 bits")
    if width == 1:
        numbers = np.frombuffer(raw, np.uint8).astype(np.float64) - 128
    elif width == 3:  # no such type: the three bytes become the upper ones of four
        four = np.zeros((len(raw) // 3, 4), np.uint8)
        four[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        numbers = four.view("<i4").reshape(-1) / 256.0
    else:
        numbers = np.frombuffer(raw, f"<i{width}").astype(np.float64)
    values = torch.from_numpy(numbers / _WIDTHS[width]).float()
    return values.view(-1, channels).T.contiguous(), rate
