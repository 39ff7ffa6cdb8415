"""Trials of resolutions: at each, the whole model must run, and what varies must vary as at the full one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from ofa.data.resizing import resized_images
from ofa.errors import InvalidInput
from ofa.inputs import Inputs, named_outputs
from ofa.structure.structure import Structure, analyze
from ofa.structure.trace import Contraction
from ofa.structure.tracing import in_mode
from ofa.trial.trial import Trial
from ofa.trial.weights import Weights


def try_resolutions(
    model: nn.Module,
    example: Inputs,
    structure: Structure,
    original: nn.Module,
    weights: Weights,
    heights: Sequence[int],
) -> Structure:
    """Returns the structure with the multiply-accumulate ops of each resolution, once all have passed their trials.

    Args:
        model: a private randomized copy. example: its images, at the full resolution.
        structure: what passed its trials there.
        original: the user's model, whose tensors a closure may still read. weights: those of the copy.
        heights: of the images in pixels, ascending, the full one last; fewer than two: there is nothing to try.

    Raises:
        InvalidInput: resolutions that the model does not accept, with the reason and those that it accepts.
    """
    if len(heights) < 2:
        return structure
    images = example.only
    assert images is not None  # `resolution_values` has seen it
    contractions: dict[int, tuple[Contraction, ...]] = {}
    refused: dict[int, str] = {}
    whole = _output_shapes(model, example)
    for height in heights[:-1]:
        outcome = _tried(model, Inputs(resized_images(images, height)), structure, original, weights, whole)
        if isinstance(outcome, str):
            refused[height] = outcome
        else:
            contractions[height] = outcome
    if refused:
        passed = ", ".join(map(str, [*contractions, heights[-1]]))
        height, reason = next(iter(refused.items()))
        raise InvalidInput(
            f"resolutions: {type(original).__name__} does not accept {', '.join(map(str, refused))}; with images of "
            f"{height} pixels {reason}. Pool to one size before layers that count positions, as "
            "nn.AdaptiveAvgPool2d(1) does, interpolate tables of positions, or leave it out: "
            f"it accepts {passed}"
        )
    contractions[heights[-1]] = tuple(structure.trace.contractions)
    return replace(structure, resolutions=contractions)


def _tried(
    model: nn.Module,
    example: Inputs,
    structure: Structure,
    original: nn.Module,
    weights: Weights,
    whole: dict[str, tuple[int, ...]],
) -> tuple[Contraction, ...] | str:
    """The ops at one resolution, or why the model does not accept it."""
    try:
        other = analyze(model, example)
    except InvalidInput as error:
        return f"it fails: {error}"
    if structure.training is not None and other.training is None:
        return "it runs in eval mode alone"
    shapes = _output_shapes(model, example)
    for name in whole | shapes:
        if whole.get(name) != shapes.get(name):
            return f"its output has the shape {shapes.get(name)}, not {whole.get(name)}"
    run = Trial(model, example, replace(structure, trace=other.trace, training=other.training), original, weights)
    reason = run.run(structure.groups, structure.stages, structure.kernels)
    return tuple(other.trace.contractions) if reason is None else f"its subnets fail: {reason}"


def _output_shapes(model: nn.Module, example: Inputs) -> dict[str, tuple[int, ...]]:
    with in_mode(model, training=False), torch.no_grad():
        output = example.call_on_copy(model)
    return {name: tuple(tensor.shape) for name, tensor in named_outputs(output).items()}
