"""Networks in int8 and int4: judged by their files, beside float32 on the same examples, refused where they drop."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import ofa
from ofa.inputs import as_inputs
from ofa.quantization import LEVELS, Simulated, in_training, observed
from ofa.randomize import randomize_statistics_
from search.config.verbs import Export
from search.device.export import onnx_bytes
from search.networks.quantized_network import OnnxNetwork, in_bits, quantized_parts, quantized_text
from search.run.scores import MINUS
from tests.search.compression.small import DATA, network

DROPPED = f"validation accuracy is {MINUS}100.00 ± 0.00 points"
TASK = ofa.task.classification(DATA)


def answers(model: bytes, images: Tensor) -> np.ndarray:
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(model, settings).run(None, {"input": images.numpy()})[0]


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_the_score_is_that_of_the_file(precision: str) -> None:
    net, export = network(), Export(quantize=precision)  # type: ignore[arg-type]
    facts, files, warnings = quantized_parts(net, DATA.calibration(64), DATA, TASK, export)
    right = {}
    for split in ("validation", "test"):
        (images, labels), *rest = getattr(DATA, split).in_order(1000)
        assert not rest
        correct = answers(files[precision], images).argmax(1) == labels.numpy()
        float_correct = net(images).argmax(1) == labels
        right[split] = float(correct.mean()), float(float_correct.double().mean())
        assert getattr(facts.scores, split)["accuracy"].value == pytest.approx(right[split][0])
        assert getattr(facts.gain, split).value == pytest.approx(right[split][0] - right[split][1])
    assert (facts.bytes, facts.precision, facts.refused) == (len(files[precision]), precision, None)
    assert facts.peak_bytes > 0 and facts.float_bytes == len(onnx_bytes(net, DATA.calibration(1)))
    assert f"in {precision} validation accuracy" in quantized_text(facts, TASK)
    assert len(warnings) <= 1


def test_what_drops_by_more_than_is_allowed_is_refused_and_otherwise_said(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    images, _ = next(DATA.validation.in_order(1000))
    labels = net(images).argmax(1)  # so that float32 is right everywhere on validation
    perfect = SimpleNamespace(in_order=lambda size=512: iter([(images, labels)]))
    data = SimpleNamespace(validation=perfect, test=DATA.test)
    wrong = onnx_bytes(nn.Sequential(network(), Other()), images[:1])
    monkeypatch.setattr("search.networks.quantized_network.int4", lambda model: wrong)
    facts, files, warnings = quantized_parts(
        net,
        DATA.calibration(64),
        data,
        TASK,
        Export(quantize="int4", max_drop=0.5),  # type: ignore[arg-type]
    )
    assert files == {} and facts.gain.validation.value == -1
    assert facts.refused == f"{DROPPED} from float32, which is more than export.max_drop=0.5 allows"
    assert warnings == (f"int4: {facts.refused}: the file is left out",)
    facts, files, (warning,) = quantized_parts(net, DATA.calibration(64), data, TASK, Export(quantize="int4"))  # type: ignore[arg-type]
    assert files == {"int4": wrong} and f"{DROPPED} from float32, beyond two standard errors" in warning


class Other(nn.Module):
    """Answers with another class than it is given."""

    def forward(self, logits: Tensor) -> Tensor:
        return -logits


class Named(nn.Module):
    """A network of two inputs by keyword, which returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        return {"sum": self.layer(first) + self.layer(second), "labels": self.layer(first).argmax(1)}


def test_a_file_stands_for_a_network_of_several_inputs_and_outputs() -> None:
    torch.manual_seed(0)
    net, inputs = Named().eval(), ofa.Inputs(first=torch.randn(16, 6), second=torch.randn(16, 6))
    low = in_bits(net, inputs, "int8")
    stands = OnnxNetwork(low.float_model, net, inputs.rows(0, 1))
    for rows in (inputs.rows(0, 3), inputs):
        expected, exact, near = rows.call(net), rows.call(stands), rows.call(low.network)
        assert torch.allclose(exact["sum"], expected["sum"], atol=1e-5) and exact["labels"].dtype == torch.int64
        assert torch.equal(exact["labels"], expected["labels"])
        assert 0 < (near["sum"] - expected["sum"]).abs().max() < 0.1 * expected["sum"].abs().max()


def both_in_int8(net: nn.Module, images: Tensor) -> tuple[Tensor, Tensor, float]:
    """Returns what the file in int8 and its simulation answer, and the distance of two neighboring answers."""
    ranges = observed(net, [as_inputs(images)])
    with torch.no_grad():
        expected, near = in_bits(net, images, "int8").network(images), Simulated(net, ranges)(images)
    return expected, near, float(ranges[-1][1] - ranges[-1][0]) / LEVELS


def test_a_small_network_simulated_in_torch_answers_as_its_file_in_int8_but_for_ties() -> None:
    expected, near, step = both_in_int8(network(), DATA.calibration(64))
    off = ((near - expected) / step).round().abs()
    assert off.max() <= 1 and (off > 0).double().mean() < 0.1


@pytest.mark.parametrize("make", [ofa.models.ResNet, ofa.models.MobileNet], ids=["ResNet", "MobileNet"])
def test_a_deep_network_simulated_in_torch_is_nearer_to_its_file_in_int8_than_float32(
    make: Callable[..., nn.Module],
) -> None:
    torch.manual_seed(0)
    net = make((3, 16, 16), 10)
    randomize_statistics_(net.eval(), torch.Generator().manual_seed(0))
    images = torch.randn(64, 3, 16, 16)
    expected, near, step = both_in_int8(net, images)
    with torch.no_grad():
        exact = net(images)
    # Ties that float32 rounds to the other side are made larger by twenty layers of random weights.
    assert (near - expected).abs().max() < 6.5 * step
    assert (near - expected).square().mean() < 0.6 * (exact - expected).square().mean()


def test_weights_of_int4_in_torch_are_those_of_the_file_but_for_ties() -> None:
    net, images = network(), DATA.calibration(16)
    low = in_bits(net, images, "int4")
    with torch.no_grad():
        expected, exact = low.network(images), net(images)
        with in_training("int4"):
            near = net(images)
    assert (near - expected).abs().max() < 0.05 * (exact - expected).abs().max()
