"""CPU time of a training step in bfloat16 against float32 on this processor, alternately in one process.

    python -m benchmarks.cpu_precision [--rounds 5] [--batch 32]

`ONEDNN_MAX_CPU_ISA=AVX512_CORE` in the environment has a processor with instructions for bfloat16 compute as one
without.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from ofa.models import ResNet, ViT
from ofa.train.precision import computes_in_bfloat16, precision_of

STEPS = 3  # of a round
SHAPE = (3, 32, 32)


def step_of(net: nn.Module, batch: int, name: str) -> Callable[[], None]:
    """Returns one step of a training of random images."""
    precision = precision_of(name, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, *SHAPE, generator=generator)
    labels = torch.randint(0, 10, (batch,), generator=generator)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def step() -> None:
        optimizer.zero_grad()
        with precision.autocast():
            logits = net(images)
        precision.backward(nn.functional.cross_entropy(logits.float(), labels))
        precision.update(optimizer, list(net.parameters()), None)

    return step


def main() -> None:
    """Prints medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    most = os.environ.get("ONEDNN_MAX_CPU_ISA", "all")
    print(f"instructions for bfloat16: {computes_in_bfloat16()}; ONEDNN_MAX_CPU_ISA={most}")
    for model in (ResNet, ViT):
        torch.manual_seed(0)
        net = model(SHAPE, 10)
        steps = {name: step_of(net, options.batch, name) for name in ("float32", "bfloat16")}
        taken: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(options.rounds + 1):
            for name, step in steps.items():
                start = time.process_time()
                for _ in range(STEPS):
                    step()
                if number:  # the first round makes kernels
                    taken[name].append((time.process_time() - start) / STEPS * 1000)
        ratio = np.median([after / before for before, after in zip(*taken.values(), strict=True)])
        texts = ", ".join(f"{name} {np.median(times):.0f} ms" for name, times in taken.items())
        print(f"{model.__name__}, a step of {options.batch}: {texts}; bfloat16 / float32 {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
