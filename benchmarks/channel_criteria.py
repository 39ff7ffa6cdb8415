"""Channels of a ResNet-20 on CIFAR-10 at 16x16 pixels, half of the multiply-accumulates gone in one call.

    python -m benchmarks.channel_criteria --cifar10 PATH [--seeds 3] [--first-seed 0] [--methods "Taylor" ...]

6,000 training images, 300 steps dense, then each method's removal and 120 steps of fine-tuning, beside Torch-Pruning
1.6.1 (`pip install torch-pruning`) on the same networks; its rows are left out where it is not installed. Rows go to
benchmarks/results/channel_criteria.json and are not repeated. Accuracy is of 4,000 test images: one standard error is
0.8 points.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.pruning.cells import Cells, column, markdown, mean_spread, paired
from ofa._cost import cost
from ofa._evaluate import evaluate
from ofa.data import Dataset, hub
from ofa.models import ResNet
from ofa.prune import Pruner
from ofa.prune.allocation import budget
from ofa.prune.criteria import magnitude, normalized, random_, taylor
from ofa.prune.granularity import channel
from ofa.prune.granularity._channel import every_width
from ofa.prune.reconstruction import reconstruct_

RESULTS = Path(__file__).parent / "results" / "channel_criteria.json"
STEPS, FINE_TUNING, BATCH, SCORED = 300, 120, 64, 320
few = partial(taylor, examples=10)
OURS: dict[str, tuple[Any, int]] = {  # criterion, rounds
    "random": (random_, 1),
    "magnitude": (normalized(magnitude), 1),
    "Taylor": (normalized(few), 1),
    "Taylor, 8 rounds": (normalized(few), 8),
    "Taylor by gates": (normalized(partial(few, gates=True)), 1),
    "Taylor, layers as they are": (few, 1),
    "magnitude, refitted": (normalized(magnitude), 1),
    "Taylor, refitted": (normalized(few), 1),
}
CONTROL = "dense, trained on"
RIVALS = ("Torch-Pruning, L2", "Torch-Pruning, Taylor")


def main() -> None:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cifar10", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--methods", nargs="*", default=[*OURS, *RIVALS])
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = hub(
        path=arguments.cifar10,
        name="cifar10",
        image_column="img",
        image_size=16,
        limit_train=6000,
        limit_validation=100,
        limit_test=4000,
    )
    cells = Cells(arguments.results)
    for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
        dense = _dense(data, seed)
        cells.run(lambda dense=dense: _figures(dense, data), method="dense", seed=seed)
        for method in (CONTROL, *arguments.methods):
            if method not in RIVALS or importlib.util.find_spec("torch_pruning"):
                cells.run(partial(_pruned, dense, data, seed, method), method=method, seed=seed)
    print(table(cells))


def _fit(net: nn.Module, data: Dataset, steps: int, seed: int, rate: float) -> None:
    """SGD with a cosine schedule on random batches, half of them mirrored."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    net.train()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        images, labels = data.train.take(torch.randint(len(data.train), (BATCH,), generator=generator))
        images = images.flip(3) if torch.rand((), generator=generator) < 0.5 else images
        optimizer.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        optimizer.step()


def _dense(data: Dataset, seed: int) -> nn.Module:
    folder = Path("outputs/channel_criteria")
    torch.manual_seed(seed)
    net = ResNet(data.input_shape, data.num_classes, depth=20)
    file = folder / f"dense_{seed}.pt"
    if file.exists():
        net.load_state_dict(torch.load(file, weights_only=True))
    else:
        _fit(net, data, STEPS, seed, 0.1)
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(net.state_dict(), file)
    return net


def _figures(net: nn.Module, data: Dataset) -> dict[str, Any]:
    supernet = every_width(net, torch.zeros(2, *data.input_shape))
    return {
        "accuracy": 100 * evaluate(net, data.test.images, data.test.labels),
        "macs": float(cost(supernet, [supernet.space.largest])["macs"][0]),
        "params": sum(parameter.numel() for parameter in net.parameters()),
    }


def _pruned(dense: nn.Module, data: Dataset, seed: int, method: str) -> dict[str, Any]:
    net = copy.deepcopy(dense)
    images, labels = data.train.take(torch.arange(SCORED))
    if method in RIVALS:
        import torch_pruning  # noqa: F401 (its time is not of the event)
    started = time.process_time()
    if method in OURS:
        net = _remove(net, dense, images, labels, seed, method)
    elif method in RIVALS:
        net = _remove_by_rival(net, images, labels, method)
    event = time.process_time() - started
    before = 100 * evaluate(net, data.test.images, data.test.labels)
    _fit(net, data, FINE_TUNING, seed + 1000, 0.05)
    return {**_figures(net, data), "before": before, "event_cpu_s": event}


def _remove(net: nn.Module, dense: nn.Module, images: Tensor, labels: Tensor, seed: int, method: str) -> nn.Module:
    criterion, rounds = OURS[method]
    pruner = Pruner(
        net,
        criterion=criterion,
        allocation=partial(budget, metric="macs"),
        granularity=partial(channel, multiple_of=1),
        example_input=images[:2],
        batches=lambda: [(images, labels)],
        seed=seed,
    )
    pruner.prune(0.5, rounds)
    if method.endswith("refitted"):
        reconstruct_(net, dense, [images], pruner.masks)
    return pruner.slim()[0]


def _remove_by_rival(net: nn.Module, images: Tensor, labels: Tensor, method: str) -> nn.Module:
    """Torch-Pruning's global pruning in up to 200 steps, until half of the multiply-accumulates are gone."""
    import torch_pruning

    is_taylor = method.endswith("Taylor")
    importance: Callable[..., Any] = (
        torch_pruning.importance.GroupTaylorImportance()
        if is_taylor
        else torch_pruning.importance.GroupMagnitudeImportance(p=2)
    )
    head = [module for module in net.modules() if isinstance(module, nn.Linear)]
    net.eval()
    rival = torch_pruning.pruner.BasePruner(
        net, images[:1], importance=importance, global_pruning=True, pruning_ratio=1.0, iterative_steps=200,
        ignored_layers=head,
    )  # fmt: skip
    full = torch_pruning.utils.count_ops_and_params(net, images[:1])[0]
    for _ in range(200):
        if is_taylor:
            net.zero_grad()
            functional.cross_entropy(net(images), labels).backward()
        rival.step()
        if torch_pruning.utils.count_ops_and_params(net, images[:1])[0] <= 0.5 * full:
            return net
    return net


def table(cells: Cells) -> str:
    """Returns the table of all rows."""
    rows = cells.rows()
    full = column(rows, "macs", method="dense")[0]
    scored = [{**row, "error": row["accuracy"]} for row in rows]
    lines = []
    for method in ("dense", CONTROL, *OURS, *RIVALS):
        own = [row for row in rows if row["method"] == method]
        if own:
            fewer = mean_spread([full / row["macs"] for row in own])
            params = mean_spread([row["params"] / 1000 for row in own], 0)
            times = mean_spread([row["event_cpu_s"] for row in own if "event_cpu_s" in row])
            before = mean_spread([row["before"] for row in own if "before" in row], 1)
            change = "-" if method == CONTROL else paired(scored, "method", method, CONTROL)
            accuracy = mean_spread(column(own, "accuracy"), 1)
            lines.append([method, accuracy, change, before, f"{fewer}x", params, times])
    header = [
        "method",
        "accuracy %",
        f"less {CONTROL}, paired",
        "before fine-tuning",
        "fewer multiply-accumulates",
        "params, 1,000",
        "event, CPU s",
    ]
    return markdown(header, lines)


if __name__ == "__main__":
    main()
