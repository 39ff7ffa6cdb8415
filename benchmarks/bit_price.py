"""Bytes against disturbance when bits have a price: pruned networks, their values shared and not trained.

    python -m benchmarks.bit_price --mnist PATH --cifar10 PATH [--nets outputs/compression]

Takes the pruned networks that `python -m benchmarks.compression run` left in the folder, and shares the values of each
at several prices. The disturbance is the divergence of the answers on 2,000 test images from those of the network that
was shared, in nats: no label has a part in it. Rows go to benchmarks/results/bit_price.json, and the table to
docs/compression_results.md by `python -m benchmarks.compression tables`.
"""

from __future__ import annotations

import argparse
import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.compressing.networks import DATA, make_network
from benchmarks.compressing.recipe import BIAS_LEVELS, SETTINGS
from benchmarks.pruning.cells import Cells, markdown
from ofa.compress import coded_sizes, share
from ofa.norms import BatchNorm

RESULTS = Path(__file__).parent / "results" / "bit_price.json"
IMAGES = 2000
PRICES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.05)
NETWORKS = (("lenet300_short", 20, 28), ("resnet20", 10, 16))  # setting, seed, level
LEVELS = (8, 16)


def main() -> None:
    """Measures what is missing, and prints the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mnist", default="ylecun/mnist")
    parser.add_argument("--cifar10", default="uoft-cs/cifar10")
    parser.add_argument("--nets", type=Path, default=Path("outputs/compression"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cells = Cells(arguments.results)
    for name, seed, level in NETWORKS:
        setting = SETTINGS[name]
        net = make_network(setting.model, 0)
        file = arguments.nets / f"pruned_{name}_{seed}_{level}.pt"
        net.load_state_dict(torch.load(file, weights_only=True))
        images = DATA[setting.data](getattr(arguments, setting.data)).test.images[:IMAGES]
        for levels in LEVELS:
            for price in PRICES:
                keys = {"setting": name, "seed": seed, "level": level, "levels": levels, "price": price}
                cells.run(partial(figures, net.eval(), images, levels, price), **keys)
    print(table(cells.rows()))


def figures(net: nn.Module, images: torch.Tensor, levels: int, price: float) -> dict[str, Any]:
    """Returns the bytes of a network's weights shared at a price, and how far its answers move."""
    shared = copy.deepcopy(net).to(memory_format=torch.contiguous_format)
    norms = [path for path, module in net.named_modules() if isinstance(module, BatchNorm)]
    sharing = share(shared, levels={"*": levels, "*.bias": BIAS_LEVELS}, keep=norms, bit_price=price)
    for tensor in sharing.tensors.values():
        tensor.codebook.copy_(tensor.codebook.bfloat16())
    sharing.put(shared)
    with torch.no_grad():
        before, after = functional.log_softmax(net(images), 1), functional.log_softmax(shared(images), 1)
    weights = {name: tensor for name, tensor in shared.state_dict().items() if tensor.dim() > 1}
    return {
        "bytes": coded_sizes(weights).total,
        "kept": sum(int(tensor.count_nonzero()) for tensor in weights.values()),
        "divergence": float(functional.kl_div(after, before, reduction="batchmean", log_target=True)),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Returns the table: a line for each price, bytes and divergence of each network and number of values."""
    kinds = list(dict.fromkeys((row["setting"], row["level"], row["levels"]) for row in rows))
    by_key = {(row["setting"], row["level"], row["levels"], row["price"]): row for row in rows}
    lines = []
    for price in dict.fromkeys(row["price"] for row in rows):
        found = [by_key.get((*kind, price)) for kind in kinds]
        cells = [f"{row['bytes']:,}, {row['divergence']:.4f}" if row else "" for row in found]
        lines.append([f"{price:g}", *cells])
    return markdown(["price", *(f"{name}, {level}x, {levels} values" for name, level, levels in kinds)], lines)


if __name__ == "__main__":
    main()
