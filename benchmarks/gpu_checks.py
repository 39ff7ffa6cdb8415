"""The checks of benchmarks.gpu: that what is computed on a device is what it should be."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

import ofa
from ofa.data import Dataset, synthetic
from ofa.models import ResNet
from ofa.train import TrainSettings, sandwich, train


def settings_for(device: torch.device, **changes: Any) -> TrainSettings:
    """Returns the settings of a short training."""
    given = {
        "optimizer": partial(torch.optim.SGD, lr=0.05, momentum=0.9, nesterov=True),
        "epochs": 2,
        "batch_size": 32,
        "validate_every": 0,
        "device": device,
        "calibration_images": 128,
    }
    return TrainSettings(**given | changes)


@cache
def _small_supernet() -> ofa.Supernet:
    torch.manual_seed(0)
    return ofa.Supernet(ResNet((1, 8, 8), 4, depth=8, widths=(8, 8, 16)), torch.zeros(2, 1, 8, 8))


def small_supernet(device: torch.device) -> ofa.Supernet:
    """Returns a supernet whose steps are short; the same weights in every call."""
    supernet = copy.deepcopy(_small_supernet())
    supernet.model.to(device)
    return supernet


def apart(first: dict[str, Any], second: dict[str, Any]) -> float:
    """Returns the largest difference of two networks' weights."""
    return max(float((tensor.double() - second[name].double()).abs().max()) for name, tensor in first.items())


def trained(data: Dataset, device: torch.device, checkpoint: Path | None = None, **changes: Any) -> dict[str, Any]:
    """Returns the weights after a short training of the small supernet."""
    supernet = small_supernet(device)
    history = train(supernet, data, sandwich, settings_for(device, **changes), checkpoint=checkpoint)
    assert all(np.isfinite(row["loss"]) for row in history)
    return dict(supernet.model.state_dict())


def recorded(learn: Callable[[], Any]) -> torch.cuda.CUDAGraph:
    """Returns a CUDA graph of a step that adds to gradients, after three steps on a stream of its own."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            learn()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        learn()
    return graph


def graphs_apart(device: torch.device) -> float:
    """Returns the largest difference of gradients between steps and their CUDA graphs, largest and smallest subnet."""
    supernet, images = small_supernet(device), torch.randn(16, 1, 8, 8, device=device)
    labels = torch.arange(16, device=device) % 4
    weights = list(supernet.parameters())
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    difference = 0.0
    for arch in (supernet.space.largest, supernet.space.smallest):
        view = supernet.subnet(arch, accumulate=True).train()  # once: a graph reads and writes where it was recorded

        def learn(net: torch.nn.Module = view) -> None:
            F.cross_entropy(net(images), labels).backward()

        graph = recorded(learn)
        found = []
        for step in (learn, graph.replay):
            torch._foreach_zero_(gradients)
            step()
            found.append(torch.cat([gradient.flatten() for gradient in gradients]))
        difference = max(difference, float((found[0] - found[1]).abs().max()))
    return difference


def correctness(device: torch.device) -> dict[str, Any]:
    """Returns the largest difference of each check, and whether it is small enough."""
    data = synthetic(image_size=8, num_classes=4, samples=180)
    supernet, images = small_supernet(device), torch.randn(16, 1, 8, 8, device=device)
    labels = torch.arange(16, device=device) % 4
    rng, checks = np.random.default_rng(0), {}
    archs = [supernet.space.largest, supernet.space.smallest, *(supernet.space.sample(rng) for _ in range(4))]
    with torch.no_grad():
        views = [supernet.subnet(arch).eval()(images) - supernet.extract(arch).eval()(images) for arch in archs]
    checks["views"] = (max(float(each.abs().max()) for each in views), 1e-4)

    def gradients(accumulate: bool) -> torch.Tensor:
        for parameter in supernet.parameters():
            parameter.grad = torch.zeros_like(parameter)
        for arch in archs:
            F.cross_entropy(supernet.subnet(arch, accumulate=accumulate).train()(images), labels).backward()
        return torch.cat(
            [parameter.grad.flatten() for parameter in supernet.parameters() if parameter.grad is not None]
        )

    checks["accumulate"] = (float((gradients(True) - gradients(False)).abs().max()), 1e-4)
    whole = trained(data, device, ema=0.9)
    for precision in ("bfloat16", *(["float16"] if device.type == "cuda" else [])):
        checks[precision] = (apart(whole, trained(data, device, ema=0.9, precision=precision)), 0.5)
    checks["channels last"] = (apart(whole, trained(data, device, ema=0.9, channels_last=True)), 0.05)
    if device.type == "cuda":
        checks["compile"] = (apart(whole, trained(data, device, ema=0.9, compile=True)), 0.05)
        checks["CUDA graphs"] = (graphs_apart(device), 1e-4)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "training.safetensors")
        trained(data, device, path, ema=0.9, stop_step=3)
        checks["resume"] = (apart(whole, trained(data, device, path, ema=0.9)), 0.0)
        torch.distributed.init_process_group(
            "nccl" if device.type == "cuda" else "gloo", init_method=f"file://{folder}/group", rank=0, world_size=1
        )
        summed = torch.ones(3, device=device)
        torch.distributed.all_reduce(summed)
        off = float((summed - 1).abs().max())
        checks["process group of one"] = (max(off, apart(whole, trained(data, device, ema=0.9))), 0.0)
        torch.distributed.destroy_process_group()
    return {name: {"difference": found, "passed": found <= most} for name, (found, most) in checks.items()}
