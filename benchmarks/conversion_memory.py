"""How much memory `ofa.Supernet(model, example)` needs at its peak, as a multiple of the model's weights.

    python -m benchmarks.conversion_memory [--packages FOLDER] [--types bfloat16 float32]

A Llama of 58 million parameters from its configuration, with random weights, on a text of 8 tokens; each type in a
process of its own. The peak is that of resident memory from before the model is made, so that the model's own weights
count as 1; with it stands the share that the model alone needs for one forward. FOLDER: see `benchmarks.any_model`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import time
from pathlib import Path

import torch
from torch import nn

import ofa
from benchmarks.collection.libraries import make_importable

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def llama(layers: int = 8, vocabulary: int = 32_000) -> nn.Module:
    """Returns a Llama, of 58 million parameters as it is."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=512,
        intermediate_size=1536,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=4,
        use_cache=False,
    )
    model: nn.Module = LlamaForCausalLM(config)
    return model


def _resident(which: str) -> int:
    """Bytes of resident memory: now ("VmRSS"), or the most since it was last asked to forget ("VmHWM")."""
    found = re.search(rf"{which}:\s+(\d+) kB", STATUS.read_text())
    assert found is not None
    return 1024 * int(found[1])


def measure(kind: str) -> None:
    """Prints a type's row."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tokens = torch.randint(0, 32_000, (1, 8))
    torch.set_default_dtype(getattr(torch, kind))
    llama(1, 8)(tokens % 8)  # what libraries load once
    before = _resident("VmRSS")
    model = llama().eval()
    torch.set_default_dtype(torch.float32)
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    CLEAR.write_text("5")
    with torch.no_grad():
        model(tokens)
    forward = _resident("VmHWM") - before
    CLEAR.write_text("5")
    start = time.process_time()
    supernet = ofa.Supernet(model, ofa.Inputs(input_ids=tokens), ofa.SpaceRules(width_ratios=None, multiple_of=1))
    seconds = time.process_time() - start
    peak, after = _resident("VmHWM") - before, _resident("VmRSS") - before
    cells = [weights / 1e6, forward / weights, peak / weights, after / weights, len(supernet.space.choices), seconds]
    print(f"| {kind} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)


def main() -> None:
    """Prints a row a type."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--packages", default="")
    parser.add_argument("--types", nargs="+", default=["bfloat16", "float32"])
    arguments = parser.parse_args()
    sys.path += [arguments.packages] if arguments.packages else []
    if why := make_importable().get("transformers"):
        sys.exit(f"transformers cannot be imported: {why}")
    print("| type | weights, MB | one forward | conversion | left after it | choices | CPU s |")
    print("|---|---|---|---|---|---|---|")
    for kind in arguments.types:
        process = multiprocessing.get_context("fork").Process(target=measure, args=(kind,))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
