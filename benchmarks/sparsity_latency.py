"""What weights set to zero buy in milliseconds, and what channels that are taken out buy.

    python benchmarks/sparsity_latency.py [--runs 3] [--output benchmarks/results/sparsity_latency.json]

Eight MBConv blocks (5x5, expansion 4, squeeze and excite) on a 64x64 image at batch 1. The variants: a second copy of
the dense network, which shows the noise; 50 and 90 % of the weights zero; the middle channels of every block kept at
75, 50 and 25 % in multiples of 8, and at 47 % whatever the number. All are visited in turn. The figure is the dense
network's time over the variant's, the median of several runs with their range.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ofa
from ofa.errors import InvalidInput
from ofa.models import MobileNet
from ofa.paths import write_json
from search.device import clock_named, make_runtime
from search.device import measuring as measure
from search.device.standalone.machine import describe_machine

SHAPE = (3, 64, 64)
WIDTHS = (16, 24, 40, 80)  # of the four stages
RUNTIMES = ("onnxruntime", "openvino", "ncnn", "eager")
AGAIN = "dense, a second copy"


def dense() -> ofa.Supernet:
    """Returns the network as a supernet in which every width is a choice."""
    stages = [
        {"width": width, "blocks": 2, "stride": 2 if number else 1, "kernel_size": 5, "expansion": 4}
        for number, width in enumerate(WIDTHS)
    ]
    rules = ofa.SpaceRules(width_ratios=None, multiple_of=1)
    return ofa.Supernet(MobileNet(SHAPE, 10, stages=stages, head_width=256), torch.randn(2, *SHAPE), rules)


def sparse(net: nn.Module, fraction: float) -> nn.Module:
    """Returns a copy whose convolutions and linear layers have that fraction of their smallest weights set to zero."""
    pruned = copy.deepcopy(net)
    with torch.no_grad():
        for module in pruned.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                size = module.weight.abs()
                module.weight[size < size.flatten().quantile(fraction)] = 0.0
    return pruned


def narrow(supernet: ofa.Supernet, width: Callable[[int], int]) -> ofa.Arch:
    """Returns the Arch with the middle channels of every block changed, and nothing else."""
    middle = {
        choice.key: width(choice.values[-1]) for choice in supernet.space.choices if choice.key.endswith(".expand")
    }
    return supernet.space.arch(middle)


def multiples_of_8(fraction: float) -> Callable[[int], int]:
    """Returns what takes a width to the multiple of 8 that is nearest to that fraction of it."""
    return lambda full: max(8, round(fraction * full / 8) * 8)


def variants(supernet: ofa.Supernet, images: torch.Tensor) -> dict[str, tuple[nn.Module, int]]:
    """Returns networks, their norm statistics measured, with their MACs; the dense one first."""
    widths: dict[str, Callable[[int], int]] = {
        f"channels kept {100 * fraction:.0f} %, multiples of 8": multiples_of_8(fraction)
        for fraction in (0.75, 0.5, 0.25)
    }
    widths["channels kept 47 %, any width"] = lambda full: round(0.47 * full)
    archs = {name: narrow(supernet, width) for name, width in widths.items()}
    full = supernet.extract(supernet.space.largest)
    nets = {"dense": full, AGAIN: copy.deepcopy(full)}
    nets |= {f"weights {100 * fraction:.0f} % zero": sparse(full, fraction) for fraction in (0.5, 0.9)}
    nets |= {name: supernet.extract(arch) for name, arch in archs.items()}
    macs = dict(zip(archs, ofa.cost(supernet, list(archs.values()))["macs"].tolist(), strict=True))
    most = int(ofa.cost(supernet, [supernet.space.largest])["macs"][0])
    return {name: (ofa.calibrate(net, images), macs.get(name, most)) for name, net in nets.items()}


def measured(nets: list[nn.Module], runtime: str, options: argparse.Namespace) -> dict[str, Any]:
    """Returns ms and speed-ups of networks in turn under one runtime, several runs of each."""
    made = make_runtime(runtime)
    example = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(0))
    clock = clock_named(options.clock)
    runs = [
        measure(
            [(net, example) for net in nets],
            made,
            visits=options.visits,
            seconds=options.seconds,
            seed=seed,
            clock=clock,
        )
        for seed in range(options.runs)
    ]
    return {
        "runtime": made.describe(),
        "verdicts": [found.verdict for found in runs],
        "disagreement": [found.disagreement for found in runs],
        "drift": [found.drift for found in runs],
        "visits": [found.sentinel.visits for found in runs],
        "ms": [found.ms.tolist() for found in runs],
        "speedup": [(found.ms[0] / found.ms).tolist() for found in runs],
    }


def table(names: list[str], macs: list[int], figures: dict[str, dict[str, Any]]) -> str:
    """Returns the figures as a Markdown table."""
    lines = [f"| | MACs | {' | '.join(figures)} |", f"|---|---{'|---' * len(figures)}|"]
    for index, name in enumerate(names):
        cells = []
        for found in figures.values():
            values = [run[index] for run in found["speedup" if index else "ms"]]
            low, middle, high = min(values), statistics.median(values), max(values)
            cells.append(f"{middle:.2f}x ({low:.2f} to {high:.2f})" if index else f"{middle:.3f} ms")
        lines.append(f"| {name} | {macs[index] / 1e6:.1f} M | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints a table and writes the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runtimes", default=",".join(RUNTIMES), help="short names; one that is missing is left out")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--visits", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60.0, help="at most, for a run of one runtime")
    parser.add_argument("--clock", default="wall", help="wall, or cpu on a busy machine")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    found = variants(dense(), torch.randn(64, *SHAPE))
    nets = [net for net, _ in found.values()]
    macs = [count for _, count in found.values()]
    figures: dict[str, dict[str, Any]] = {}
    for runtime in options.runtimes.split(","):
        try:
            figures[runtime] = measured(nets, runtime, options)
        except InvalidInput as error:
            print(f"{runtime} is left out: {error}", flush=True)
            continue
        verdicts, disagreement = figures[runtime]["verdicts"], figures[runtime]["disagreement"]
        print(
            f"{runtime}: {', '.join(verdicts)}; odd/even {', '.join(f'{one:.1%}' for one in disagreement)}", flush=True
        )
    print("\n" + table(list(found), macs, figures))
    if options.output:
        commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False).stdout
        content = {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": commit.strip(),
            "machine": describe_machine(),
            "torch": torch.__version__,
            "clock": options.clock,
            "names": list(found),
            "macs": macs,
            "runtimes": figures,
        }
        options.output.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.output, content)


if __name__ == "__main__":
    main()
