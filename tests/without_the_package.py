"""A program that runs where this package cannot be imported, with the loading function that the README shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
BLOCKED = """
import importlib.abc, sys

class Blocked(importlib.abc.MetaPathFinder):
    names = {"ofa", "search", "conf", "hydra", "omegaconf", "optuna"}

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ImportError(f"{name} is not installed here")

sys.meta_path.insert(0, Blocked())
try:
    import ofa
except ImportError:
    pass
else:
    raise SystemExit("the package is there")
"""
# Logits as in verify.npz, then a step of training that moves every weight and the norm statistics.
PROGRAM = """
import numpy, torch
for folder in sys.argv[1:]:
    network = load_network(folder)
    data = numpy.load(f"{folder}/verify.npz")
    images, logits = torch.from_numpy(data["input"]), torch.from_numpy(data["logits"])
    with torch.no_grad():
        assert (network(images) - logits).abs().max() <= 1e-5 * logits.abs().max(), folder
        assert torch.allclose(network(images[:1]), logits[:1], rtol=1e-4, atol=1e-5), "another batch size"
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05)
    network.train()(images).square().mean().backward()  # a loss for outputs of any kind
    optimizer.step()
    after = network.state_dict()
    norms = [name for name in after if "running_mean" in name]
    assert all(not torch.equal(before[name], after[name]) for name in norms), folder
    assert sum(not torch.equal(before[name], after[name]) for name in after) > len(after) // 2, folder
assert not {"ofa", "search"} & {name.partition(".")[0] for name in sys.modules}
print("trained", len(sys.argv) - 1)
"""


def loading_function() -> str:
    """Returns the README's block of code with `load_network`, ten lines at most."""
    (code,) = [
        code for code in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if "def load_network" in code
    ]
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    return code


def check_plain_pytorch(*folders: Path) -> None:
    """Loads networks without this package, compares their logits with verify.npz and trains them a step."""
    program = BLOCKED + loading_function() + PROGRAM
    run = subprocess.run(
        [sys.executable, "-I", "-c", program, *map(str, folders)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folders[0],
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["trained", str(len(folders))]
