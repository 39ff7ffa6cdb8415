"""Mixed precision from the first step to the scores: views run in it, weights, averages and scores stay float32."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import nn

from ofa.identity import digest_of
from ofa.train import Event, TrainSettings, sandwich, train, train_network
from ofa.train.precision import computes_in_bfloat16
from tests.ofa.train.conftest import SmallNet

SETTINGS = TrainSettings(
    optimizer=partial(torch.optim.SGD, lr=0.05, momentum=0.9),
    epochs=8,
    batch_size=24,
    ema=0.9,
    gradient_clip=1.0,
    validate_every=8,
)
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_supernet_learns_and_resumes(make_supernet, data, tmp_path, precision, device):
    settings = replace(SETTINGS, precision=precision, device=device)
    dtypes: set[torch.dtype] = set()

    def note(event, state):
        if event is Event.UPDATE:
            dtypes.update(parameter.dtype for parameter in state.model.parameters())
            dtypes.update(parameter.grad.dtype for parameter in state.model.parameters())

    whole, resumed = make_supernet(), make_supernet(9)
    convolved: list[torch.dtype] = []
    handle = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: (
            convolved.append(output.dtype) if isinstance(module, nn.Conv2d) and output.requires_grad else None
        )
    )
    try:
        train(whole, data, sandwich, replace(settings, epochs=1, validate_every=0))
    finally:
        handle.remove()
    assert set(convolved) == {getattr(torch, precision)}
    whole = make_supernet()
    history = train(whole, data, sandwich, settings, callbacks=[note])
    assert dtypes == {torch.float32}
    assert history[-1]["scores"]["largest"]["accuracy"] > 0.5  # of four classes
    path = tmp_path / "training.safetensors"
    train(make_supernet(), data, sandwich, replace(settings, stop_step=17), checkpoint=path)
    train(resumed, data, sandwich, settings, checkpoint=path)
    assert digest_of(resumed.model) == digest_of(whole.model)


@pytest.mark.parametrize("device", DEVICES)
def test_a_network_is_about_as_good_as_in_float32(data, device):
    accuracies = {}
    for precision in ("float32", "bfloat16", "float16"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = SmallNet()
        history = train_network(model, data, replace(SETTINGS, precision=precision, device=device)).history
        accuracies[precision] = history[-1]["scores"]["network"]["accuracy"]
    assert accuracies["float32"] > 0.5
    assert all(abs(accuracy - accuracies["float32"]) < 0.25 for accuracy in accuracies.values()), accuracies


@pytest.mark.parametrize(
    ("capabilities", "known"),
    [
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, False),
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"neon": True, "bf16": True}, True),
        ({}, False),
    ],
)
def test_whether_the_processor_computes_in_bfloat16(capabilities, known, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert computes_in_bfloat16() is known


def test_an_older_pytorch_cannot_tell_whether_it_does(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert computes_in_bfloat16() is None
