"""Workloads: profiles of batches, of texts of another length, and of the next token of a text."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import ofa
from ofa.errors import InvalidInput
from ofa.models import GPT
from ofa.models.lenet import LeNet5
from search.device import Clock, OnnxRuntime, read_profile
from search.device.export import onnx_bytes, onnx_difference
from search.device.measure_archs import measure_archs, sample_of
from search.device.profile_device import profile_device
from search.device.runtimes import TorchEager
from search.device.workload import NextToken, Workload, next_token


class CountingRuntime:
    """A device where a run takes 10 us, and 1 us for every 100 numbers that the network returns."""

    name = "counting"

    def __init__(self) -> None:
        self.now = 0.0
        self.shapes: list[tuple[int, ...]] = []

    def load(self, net, example):
        inputs = example if isinstance(example, ofa.Inputs) else ofa.Inputs(example)
        self.shapes.append(tuple(next(iter(inputs.tensors().values())).shape))
        with torch.no_grad():
            output = inputs.call(net)
        numbers = sum(tensor.numel() for tensor in (output if isinstance(output, tuple) else (output,)))
        took = 1e-5 + 1e-8 * numbers + 1e-9 * sum(parameter.numel() for parameter in net.parameters())

        def run() -> None:
            self.now += took

        return run

    def describe(self):
        return {"name": self.name}


@pytest.fixture
def runtime(monkeypatch) -> CountingRuntime:
    made = CountingRuntime()
    clock = Clock("wall", lambda: made.now)
    monkeypatch.setattr("search.device.profile_device.clock_named", lambda name: clock)
    monkeypatch.setattr("search.device.measure_archs.clock_named", lambda name: clock)
    return made


@pytest.fixture(scope="module")
def images() -> ofa.Supernet:
    torch.manual_seed(0)
    return ofa.Supernet(LeNet5((1, 8, 8), 10, (16, 32), (64, 32), True), torch.randn(2, 1, 8, 8))


@pytest.fixture(scope="module")
def texts() -> ofa.Supernet:
    torch.manual_seed(0)
    return ofa.Supernet(GPT((12,), 20, width=32, depth=2, heads=2), torch.randint(20, (2, 12)))


def test_a_profile_of_batches_is_of_batches_to_its_end(images, runtime, tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    profile_device(images, runtime, path=path, anchors=8, blocks=12, visits=4, batch=32)
    assert {shape[0] for shape in runtime.shapes[:-1]} == {32}  # subnets, their blocks, probes; the sentinel is one
    again = read_profile(path, images)
    assert again.workload == Workload(batch=32) and again.protocol.input_shape == (32, 1, 8, 8)
    assert (
        again.workload.unit == "ms per batch of 32"
        and again.workload.text(2.0) == "2 ms per batch of 32 (16,000 examples/s)"
    )
    runtime.shapes.clear()
    (measured,) = measure_archs(images, [images.space.largest], runtime, profile=again, visits=4)
    assert {shape[0] for shape in runtime.shapes[:-1]} == {32}
    assert measured.ms == pytest.approx(float(again.predict_archs(images, [images.space.largest])[0]), rel=0.2)
    examples = [example for _, example in sample_of(again, images, [images.space.smallest]).nets]
    assert all(len(example) == 32 for example in examples)


def test_a_batch_is_its_example_repeated() -> None:
    inputs = ofa.Inputs(torch.tensor([[1, 2, 3]]), mask=torch.ones(1, 3), table=torch.eye(5))
    many = Workload(batch=4).inputs(inputs)
    assert many.args[0].tolist() == [[1, 2, 3]] * 4
    assert many.kwargs["mask"].shape == (4, 3) and many.kwargs["table"].shape == (5, 5)


def test_a_sequence_is_the_text_repeated_or_cut() -> None:
    inputs = ofa.Inputs(ids=torch.tensor([[1, 2, 3]]), mask=torch.ones(1, 1, 3, 3, dtype=torch.bool))
    longer = Workload(sequence=5).inputs(inputs)
    assert longer.kwargs["ids"].tolist() == [[1, 2, 3, 1, 2]] and longer.kwargs["mask"].shape == (1, 1, 5, 5)
    assert Workload(sequence=2, decode=True).inputs(inputs).kwargs["ids"].tolist() == [[1, 2]]
    assert Workload(decode=True).inputs(inputs).kwargs["ids"].tolist() == [[1, 2]]


@pytest.mark.parametrize("before", [1, 5, 11])
def test_the_next_token_is_that_of_the_whole_text(texts, before: int) -> None:
    net = texts.extract(texts.space.smallest).double().eval()
    ids = torch.randint(20, (3, before + 1))
    step, inputs = next_token(net, ofa.Inputs(ids[:, :before]))
    with torch.no_grad():
        logits, *cache = step(ids[:, before:], *inputs.args[1:])
        whole, expected = net(ids, use_cache=True)
    torch.testing.assert_close(logits, whole, atol=1e-12, rtol=1e-12)
    for got, wanted in zip(cache, [tensor for pair in expected for tensor in pair], strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)


def test_the_next_token_is_timed_from_the_cache(texts, runtime) -> None:
    profile = profile_device(texts, runtime, anchors=8, visits=4, alignment=False, decode=True)
    assert not profile.blocks and profile.protocol.input_shape == (1, 11)
    assert set(runtime.shapes[:-1]) == {(1, 1)}
    assert profile.workload.unit == "ms per token"


@pytest.mark.parametrize("made", [OnnxRuntime, TorchEager])
def test_runtimes_time_the_next_token(texts, made) -> None:
    workload = Workload(decode=True, sequence=8)
    net, example = workload.network(texts.extract(texts.space.largest).eval(), texts.inputs)
    assert isinstance(net, NextToken)
    run = made().load(net, example)
    run()
    run()  # the cache of the first is as it was


class Llamas(nn.Module):
    """Attention whose two query heads share their keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(8, 16), nn.Linear(8, 8)

    def forward(self, features: Tensor) -> Tensor:
        query, key = (layer(features).unflatten(2, (-1, 8)).transpose(1, 2) for layer in (self.query, self.key))
        return functional.scaled_dot_product_attention(query, key, key, is_causal=True, enable_gqa=True)


def test_grouped_queries_are_exported() -> None:
    net, features = Llamas().eval(), torch.randn(2, 5, 8)
    difference, _ = onnx_difference(onnx_bytes(net, features), features, net(features))
    assert difference < 1e-5


def test_what_cannot_be_timed_is_refused_before_the_rounds(images, texts, runtime) -> None:
    with pytest.raises(InvalidInput, match="are for networks of token ids"):
        profile_device(images, runtime, anchors=8, sequence=16)
    with pytest.raises(InvalidInput, match=r"GPT does not run on inputs of .*must be a length that it takes"):
        profile_device(texts, runtime, anchors=8, sequence=64)
    with pytest.raises(InvalidInput, match="one more token after the texts"):
        profile_device(texts, runtime, anchors=8, sequence=12, decode=True)
    embedded = nn.Sequential(nn.Embedding(20, 16), nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 4))
    with pytest.raises(InvalidInput, match=r"Sequential has no cache: .* time that with device.profile.sequence"):
        profile_device(ofa.Supernet(embedded, torch.randint(20, (2, 4))), runtime, anchors=8, decode=True)


def test_a_profile_of_another_length_is_not_of_this_supernet(texts, runtime) -> None:
    profile = profile_device(texts, runtime, anchors=8, blocks=0, visits=4, alignment=False, sequence=6)
    profile.check(texts)
    other = ofa.Supernet(GPT((16,), 20, width=32, depth=2, heads=2), torch.randint(20, (2, 16)))
    assert other.space.digest == texts.space.digest
    with pytest.raises(InvalidInput, match=r"MACs differ|of inputs"):
        profile.check(other)
