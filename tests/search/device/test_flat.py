"""Networks of several inputs and outputs keep their names in files, and compute the same in every runtime."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.inputs import as_inputs
from ofa.randomize import randomize_
from search.device.export import onnx_bytes, onnx_difference
from search.device.flat import answer_of, flattened, named_inputs, output_by_name, run
from search.device.runtime import make_runtime


@dataclass
class Answer:
    """Of a network that says more than its logits."""

    logits: Tensor
    hidden: tuple[Tensor, ...]


class Reader(nn.Module):
    """Token ids, a mask and an image; attention of torch's own; a dictionary, a dataclass or a tuple."""

    def __init__(self, kind: str = "dataclass") -> None:
        super().__init__()
        self.kind = kind
        self.embedding = nn.Embedding(30, 16)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.image = nn.Conv2d(3, 16, 3, stride=2)
        self.head = nn.Linear(16, 5)

    def forward(self, ids: Tensor, picture: dict[str, Tensor], mask: Tensor | None = None, scale: float = 1.0) -> Any:
        words = self.encoder(self.embedding(ids), src_key_padding_mask=mask)
        seen = self.image(picture["pixels"]).mean((2, 3))
        logits = self.head(words.mean(1) + scale * seen)
        if self.kind == "tuple":
            return logits, words
        return {"logits": logits, "words": words} if self.kind == "dict" else Answer(logits, (words,))


def inputs_of(batch: int = 3) -> ofa.Inputs:
    ids, mask = torch.randint(30, (batch, 7)), torch.zeros(batch, 7, dtype=torch.bool)
    mask[:, 5:] = True
    return ofa.Inputs(ids, {"pixels": torch.rand(batch, 3, 9, 9)}, mask=mask, scale=0.5)


NAMES = {
    "dataclass": ["logits", "hidden.0"],
    "dict": ["logits", "words"],
    "tuple": ["output_0", "output_1"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_inputs_and_outputs_keep_their_names(kind: str) -> None:
    import onnxruntime

    net, inputs = randomize_(Reader(kind)).eval(), inputs_of()
    flat = flattened(net, inputs)
    assert list(flat.inputs) == ["ids", "picture.pixels", "mask"] and list(flat.outputs) == NAMES[kind]
    file = onnx_bytes(net, inputs.rows(0, 1))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == list(flat.inputs)
    assert [value.name for value in session.get_outputs()] == NAMES[kind]
    outputs = output_by_name(run(net, inputs), flat.inputs)
    _, relative = onnx_difference(file, inputs, outputs, net)
    assert relative < 1e-5
    outputs["output_0" if kind == "tuple" else "logits"] = torch.zeros(3, 5)
    assert onnx_difference(file, inputs, outputs, net)[0] > 0.01


@pytest.mark.parametrize("name", ["onnxruntime", "openvino", "eager"])
def test_runtimes_take_inputs_of_any_form(name: str) -> None:
    net, inputs = randomize_(Reader("tuple")).eval(), inputs_of(1)
    runtime = make_runtime(name)
    logits, words = runtime.load(net, inputs)()  # type: ignore[misc]
    expected = run(net, inputs)
    np.testing.assert_allclose(np.asarray(logits), expected[0].numpy(), atol=1e-5)
    np.testing.assert_allclose(np.asarray(words), expected[1].numpy(), atol=1e-4)


def test_ncnn_says_what_it_takes() -> None:
    pytest.importorskip("pnnx")
    with pytest.raises(ofa.InvalidInput, match=r"Reader takes 0: \(1, 7\) int64, .*one floating-point tensor"):
        make_runtime("ncnn").load(Reader(), inputs_of(1))


def test_one_tensor_has_the_usual_names() -> None:
    net = nn.Linear(3, 2)
    flat = flattened(net, torch.rand(2, 3))
    assert flat.net is net and list(flat.inputs) == ["input"] and list(flat.outputs) == ["logits"]
    assert list(named_inputs(net, {"input": torch.rand(2, 3)})) == ["input"]


def test_attention_of_torch_is_exported_under_no_grad() -> None:
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
    net = randomize_(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)).eval()
    words = torch.randn(3, 7, 16)
    before = torch.backends.mha.get_fastpath_enabled()
    with torch.no_grad():
        file = onnx_bytes(net, words[:1])
        expected = net(words)
    assert torch.backends.mha.get_fastpath_enabled() is before
    assert onnx_difference(file, words, expected)[1] < 1e-5


def test_a_tensor_of_all_examples_is_passed_whole() -> None:
    class Added(nn.Module):
        def forward(self, x: Tensor, table: Tensor) -> Tensor:
            return x @ table

    net, inputs = Added(), as_inputs((torch.rand(3, 4), torch.rand(4, 2)))
    outputs = output_by_name(run(net, inputs))
    assert onnx_difference(onnx_bytes(net, inputs.rows(0, 1)), inputs, outputs, net)[1] < 1e-5


def test_what_the_exporter_does_not_know_is_one_line() -> None:
    class Eigenvalues(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.linalg.eigvalsh(x)

    with pytest.raises(ofa.InvalidInput, match=r"Eigenvalues cannot be written as ONNX opset 18: .*eigvalsh"):
        onnx_bytes(Eigenvalues(), torch.rand(1, 2, 4, 4))


def test_a_tensor_and_what_is_named_logits_are_the_answer() -> None:
    logits, other = torch.randn(2, 3), torch.randn(2, 4)
    assert answer_of(logits, 2) is logits and answer_of([logits], 2) is logits
    assert answer_of({"hidden": other, "logits": logits}, 2) is logits


def test_several_maps_stand_side_by_side_for_each_example() -> None:
    fine, coarse, constant = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 2, 2), torch.randn(7)
    answer = answer_of((fine, coarse, constant), 2)
    assert answer.shape == (2, 1, 5 * 16 + 5 * 4)
    assert torch.equal(answer[1, 0], torch.cat([fine[1].flatten(), coarse[1].flatten()]))
