"""Checks this toolkit on one GPU and measures it there, in at most eight minutes.

    python -m benchmarks.gpu [--cifar10 FOLDER] [--output benchmarks/results/gpu.json]
    python -m benchmarks.gpu --device cpu --quick     # the same script, small, where there is no GPU

Correctness: views against extracted networks, gradients that accumulate, mixed precision, channels last, a training
that resumes, a process group of one; with CUDA torch.compile and CUDA graphs, too. Speed, on images of CIFAR-10's
shape: steps of views and of the same networks alone, by format, and of a sandwich that replays graphs. Accuracy: a
short training of a supernet on CIFAR-10 from parquet files, in 16 bits, or on the bundled digits. Latency: subnets at
batch 1, alone and as a CUDA graph.
Without CUDA it says so in one line and writes nothing. It exits with 1 where a check fails.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import ofa
from benchmarks.gpu_checks import correctness, recorded, settings_for
from ofa.data import digits, hub
from ofa.data.augment import compose, horizontal_flip, random_shift
from ofa.models import MobileNet, ResNet
from ofa.train import sandwich, train

SHAPE = (3, 32, 32)
SECONDS = 480.0  # of everything; what comes too late is left out, and said
Made = Callable[[], nn.Module]


def synchronized(device: torch.device, work: Callable[[], Any]) -> float:
    """Returns the seconds that `work` takes, its kernels too."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def steps_of(
    supernet: ofa.Supernet, device: torch.device, batch: int, dtype: torch.dtype, *, fast: bool
) -> dict[str, Callable[[], Any]]:
    """Returns steps without an optimizer: of the largest as a view, the same network alone, and of a sandwich."""
    images = torch.randn(batch, *SHAPE, device=device)
    if fast:
        images = images.to(memory_format=torch.channels_last)
    labels, largest = torch.randint(10, (batch,), device=device), supernet.space.largest
    supernet.model.train()
    static = supernet.extract(largest).train()
    for parameter in [*static.parameters(), *supernet.parameters()]:
        parameter.grad = torch.zeros_like(parameter)
    full = [parameter.grad for parameter in supernet.parameters() if parameter.grad is not None]
    own = [parameter.grad for parameter in static.parameters() if parameter.grad is not None]
    rng = np.random.default_rng(0)

    def autocast() -> AbstractContextManager[object]:
        return nullcontext() if dtype == torch.float32 else torch.autocast(device.type, dtype)

    def learn(net: nn.Module) -> None:
        with autocast():
            loss = F.cross_entropy(net(images), labels)
        loss.backward()

    def of_view() -> None:
        torch._foreach_zero_(full)
        learn(supernet.subnet(largest, accumulate=True))

    def of_static() -> None:
        torch._foreach_zero_(own)
        learn(static)

    def of_sandwich() -> None:
        torch._foreach_zero_(full)
        drawn = [supernet.space.sample(rng) for _ in range(2)]
        for arch in (largest, supernet.space.smallest, *drawn):
            learn(supernet.subnet(arch, accumulate=True))

    def of_graphs() -> Callable[[], Any]:
        ends = [supernet.subnet(arch, accumulate=True) for arch in (largest, supernet.space.smallest)]
        graphs = [recorded(partial(learn, net)) for net in ends]

        def replayed() -> None:
            torch._foreach_zero_(full)
            for graph in graphs:
                graph.replay()
            for _ in range(2):
                learn(supernet.subnet(supernet.space.sample(rng), accumulate=True))

        return replayed

    made: dict[str, Callable[[], Any]] = {"static": of_static, "view": of_view, "sandwich": of_sandwich}
    if fast and device.type == "cuda":
        compiled: Any = torch.compile(static, dynamic=False)
        made |= {"compiled": partial(learn, compiled), "sandwich of graphs": of_graphs()}
    return made


def throughput(device: torch.device, *, quick: bool, until: float) -> list[dict[str, Any]]:
    """Returns images a second of each kind of step, medians; formats that come too late are left out."""
    torch.manual_seed(0)
    model: nn.Module = ResNet(SHAPE, 10, depth=8, widths=(8, 16, 16)) if quick else MobileNet(SHAPE, 10)
    supernet = ofa.Supernet(model, torch.zeros(2, *SHAPE))
    rows = []
    batches, rounds = ((4,), 2) if quick else ((128, 512), 10)
    for batch in batches:
        for fast, dtype in ((False, torch.float32), (True, torch.float32), (True, torch.bfloat16)):
            other = copy.deepcopy(supernet)
            other.model.to(device, **({"memory_format": torch.channels_last} if fast else {}))
            for name, step in steps_of(other, device, batch, dtype, fast=fast).items():
                if time.monotonic() > until:
                    return rows
                for _ in range(2):
                    step()
                seconds = statistics.median(synchronized(device, step) for _ in range(rounds))
                kind = {"channels_last": fast, "format": str(dtype).removeprefix("torch.")}
                rows.append({"step": name, "batch": batch, **kind, "images_per_second": batch / seconds})
                print(" ".join(f"{key}={value}" for key, value in rows[-1].items()), flush=True)
    return rows


def accuracy(device: torch.device, cifar10: Path | None, *, quick: bool) -> dict[str, Any]:
    """Returns the accuracies of the largest and smallest subnet on held-out images, and how long the training took."""
    data = digits() if cifar10 is None else hub(path=str(cifar10), name="cifar10", image_column="img")
    torch.manual_seed(0)
    widths = (8, 8, 16) if quick else (16, 32, 64)
    supernet = ofa.Supernet(ResNet(data.input_shape, 10, depth=8, widths=widths), torch.zeros(2, *data.input_shape))
    epochs = 1 if quick else 20
    changes: dict[str, Any] = {"batch_size": 64}
    if cifar10 is not None and not quick:
        augment = partial(compose, steps=[partial(random_shift, pixels=4), horizontal_flip])
        changes = {"batch_size": 512, "augment": augment, "precision": "bfloat16", "channels_last": True, "ema": 0.99}
    history: list[dict[str, Any]] = []
    strategy = partial(sandwich, random_subnets=1 if quick else 2, label_weight=0.5)
    seconds = synchronized(
        device,
        lambda: history.extend(
            train(supernet, data, strategy, settings_for(device, epochs=epochs, validate_every=epochs, **changes))
        ),
    )
    return {"data": data.name, "epochs": epochs, "seconds": seconds, "scores": history[-1]["scores"]}


def latency(device: torch.device, *, quick: bool) -> list[dict[str, Any]]:
    """Returns milliseconds at batch 1 of subnets by their MACs, eager and as a CUDA graph."""
    torch.manual_seed(0)
    model: nn.Module = ResNet(SHAPE, 10, depth=8, widths=(8, 16, 16)) if quick else MobileNet(SHAPE, 10)
    supernet, rng = ofa.Supernet(model, torch.zeros(2, *SHAPE)), np.random.default_rng(0)
    supernet.model.to(device)
    space, count = supernet.space, 1 if quick else 12
    archs = [space.smallest, space.largest, *(space.sample(rng) for _ in range(count))]
    image, rows = torch.randn(1, *SHAPE, device=device), []
    for arch, macs in zip(archs, ofa.cost(supernet, archs)["macs"].tolist(), strict=True):
        net = supernet.extract(arch).eval()
        with torch.no_grad():
            row = {"macs": macs, "latency_ms": _median_ms(device, partial(net, image), 3 if quick else 50)}
            if device.type == "cuda":
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph):
                    net(image)
                row["graph_latency_ms"] = _median_ms(device, graph.replay, 50)
        rows.append(row)
    return sorted(rows, key=lambda row: row["macs"])


def _median_ms(device: torch.device, work: Callable[[], Any], rounds: int) -> float:
    for _ in range(3):
        work()
    return 1e3 * statistics.median(synchronized(device, work) for _ in range(rounds))


def main() -> int:
    """Prints the figures, writes them as JSON, and returns 1 where a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--quick", action="store_true", help="small networks and few rounds: whether it runs at all")
    parser.add_argument("--cifar10", type=Path, help="a folder of train-*.parquet and test-*.parquet; digits otherwise")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("gpu: skipped: torch sees no CUDA device here (--device cpu --quick runs the same script small)")
        return 0
    device, began = torch.device(options.device), time.monotonic()
    if options.quick:
        torch.set_num_threads(1)  # of a processor that does other things too
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    found: dict[str, Any] = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.strip(),
        "hardware": {"name": name, "cuda": torch.version.cuda, "torch": torch.__version__},
        "quick": options.quick,
        "correctness": correctness(device),
        "accuracy": accuracy(device, options.cifar10, quick=options.quick),
        "latency": latency(device, quick=options.quick),
    }
    found["throughput"] = throughput(device, quick=options.quick, until=began + 0.8 * SECONDS)
    found["seconds"] = time.monotonic() - began
    failed = [check for check, row in found["correctness"].items() if not row["passed"]]
    print(json.dumps({key: value for key, value in found.items() if key != "throughput"}, indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(found, indent=2) + "\n")
    if failed:
        print(f"gpu: failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
