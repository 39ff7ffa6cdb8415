"""Random programs are converted exactly or refused with a reason; costs are right; nothing else ever happens."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, given, settings
from torch.utils.flop_counter import FlopCounterMode

import ofa
from benchmarks.judging.exact import counted_kernels, difference
from benchmarks.judging.masked import masked_output
from ofa.randomize import randomize_
from tests.ofa.random_modules import Program, RandomModule, inputs_of, programs

QUIETLY: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "phases": (Phase.generate,),
}


def check(program: Program, archs: int = 3) -> bool:
    """Whether a program's model became a supernet; fails where a subnet is wrong or an error is not a refusal."""
    torch.manual_seed(0)
    model = randomize_(RandomModule(program)).eval()
    inputs = inputs_of(program)
    before = copy.deepcopy(model.state_dict())
    try:
        supernet = ofa.Supernet(model, inputs, ofa.SpaceRules(width_ratios=None, multiple_of=1))
    except ofa.InvalidInput as error:
        assert str(error).strip()
        return False
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "the model was changed"
    space, rng = supernet.space, np.random.default_rng(0)
    drawn = [space.largest, space.smallest, *(space.sample(rng) for _ in range(archs - 1))]
    said = ofa.cost(supernet, drawn)
    most = 1e-9 if program.double else 1e-3
    with torch.no_grad():
        assert difference(inputs.call(supernet.subnet(space.largest).eval()), inputs.call(model)) == 0
    for arch, macs, size in zip(drawn, said["macs"], said["params"], strict=True):
        net = supernet.extract(arch).eval()
        with torch.no_grad():
            view = inputs.call(supernet.subnet(arch).eval())
            assert difference(view, inputs.call(net)) <= most / 100, f"view and copy differ: {arch}"
            if min(arch.width.values(), default=2) > 1:  # one channel behind a norm is constant: it looks removed
                assert difference(view, masked_output(supernet, arch, inputs)) <= most, f"not the masked model: {arch}"
            with counted_kernels(), FlopCounterMode(display=False) as counter:
                inputs.call(net)
        assert int(macs) == counter.get_total_flops() / 2 / inputs.batch, f"cost says {macs} MACs: {arch}"
        assert int(size) == sum(parameter.numel() for parameter in net.parameters())
        inputs.call(supernet.subnet(arch).train())
    return True


@settings(max_examples=15, **QUIETLY)
@given(programs())
def test_random_programs_are_exact_or_refused(program: Program) -> None:
    check(program)


@pytest.mark.slow
@pytest.mark.long
@settings(max_examples=300, **QUIETLY)
@given(programs(most=8))
def test_longer_programs_are_exact_or_refused(program: Program) -> None:
    check(program, archs=5)


def test_most_programs_become_supernets() -> None:
    plain = Program("image", 8, (("Residual", 0), ("Mix", 1), ("BatchNorm", 0), ("Gate", 0)), "pooled", double=True)
    assert check(plain)
