"""ONNX files: the same figures, any batch, the network untouched."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from ofa.computed_weights import computed_weights
from ofa.errors import InvalidInput
from ofa.models import GPT, MLP, MobileNet, ResNet, ViT
from ofa.precisions import int8_layers
from ofa.quantization import simulated
from search.device.export import WITH_WEIGHTS, export_onnx, float_nodes, layer_of, onnx_bytes, onnx_difference
from search.device.quantization import int8
from tests.ofa.computed_models import SHAPE, WRAPPED, wrapped


class Frozen(nn.Module):
    """Forgets the batch: its output is for the traced input only."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.flatten(1)[:, :3] + float(images.sum())


def net() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.Hardswish(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(128, 5),
    )
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2)
    return model


def test_the_file_computes_what_the_network_does_at_any_batch(tmp_path: Path):
    model, images = net().train(), torch.randn(6, 2, 4, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_onnx(model, images[:1], tmp_path / "model.onnx")
    assert model.training and all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert [one.name for one in (*session.get_inputs(), *session.get_outputs())] == ["input", "logits"]
    assert session.get_inputs()[0].shape == ["batch", 2, 4, 4]
    with torch.no_grad():
        expected = model.eval()(images)
    absolute, relative = onnx_difference((tmp_path / "model.onnx").read_bytes(), images, expected)
    assert 0 <= absolute < 1e-5
    assert relative < 1e-5


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["weight_norm", "spectral_norm", "hook weight_norm", "prune", "two"])
def test_weights_that_a_layer_computes_are_written_as_they_are(kind: str):
    model = wrapped(kind).eval()
    inputs = torch.randn(2, *SHAPE)
    logits = model(inputs)  # what hooks computed is part of a graph from here on
    file = onnx_bytes(model, inputs[:1])
    assert onnx_difference(file, inputs, logits)[1] < 1e-5
    operators = {node.op_type for node in onnx.load_model_from_string(file).graph.node}
    assert operators <= {"Conv", "BatchNormalization", "Relu", "ReduceMean", "Gemm", "Identity", "Constant"}
    assert all(computed_weights(model.get_submodule(name)) for name in WRAPPED)


def test_a_difference_is_seen():
    model, images = net().eval(), torch.randn(3, 2, 4, 4)
    with torch.no_grad():
        wrong = model(images)
    wrong[2, 1] += 0.5
    absolute, _ = onnx_difference(onnx_bytes(model, images[:1]), images, wrong)
    assert absolute == pytest.approx(0.5, abs=1e-4)


def test_a_frozen_graph_shows_itself_on_other_inputs():
    images = torch.randn(3, 2, 4, 4)
    model = Frozen().eval()
    with torch.no_grad():
        expected = torch.cat([model(image[None]) for image in images])
    _, relative = onnx_difference(onnx_bytes(model, images[:1]), images, expected)
    assert relative > 0.01


def test_no_warning_gets_out_and_no_filter_stays():
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        onnx_bytes(net(), torch.randn(1, 2, 4, 4))
    assert [str(one.message) for one in seen] == []
    assert list(warnings.filters) == filters


def test_a_file_that_does_not_run_is_refused():
    with pytest.raises(InvalidInput, match="does not run") as error:
        onnx_difference(b"not a model", torch.zeros(1, 2), torch.zeros(1, 2))
    assert "\n" not in str(error.value)


IMAGES = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
GROUPS = {
    "stem": ("stem.*",),
    "stage_0": ("stages.0.*",),
    "stage_1": ("stages.1.*",),
    "stage_2": ("stages.2.*",),
    "classifier": ("classifier",),
}


def resnet() -> nn.Module:
    torch.manual_seed(0)
    net = ResNet((1, 8, 8), 10, depth=8, widths=(4, 8, 8), shortcut="conv")
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize(
    ("net", "inputs"),
    [
        (ResNet((1, 8, 8), 10, depth=8, widths=(4, 8, 8), shortcut="conv"), IMAGES[:1]),
        (ViT((1, 8, 8), 10, patch=4, width=8, depth=1, heads=2, head_size=4), IMAGES[:1]),
        (MLP((1, 8, 8), 10), IMAGES[:1]),
        (MobileNet((1, 32, 32), 10), torch.randn(1, 1, 32, 32)),
        (GPT((16,), 32, width=8, depth=1, heads=2, head_size=4), torch.randint(0, 32, (1, 16))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nodes_with_weights_are_named_after_their_layers(net: nn.Module, inputs: torch.Tensor) -> None:
    graph = onnx.load_from_string(onnx_bytes(net.eval(), inputs)).graph
    weights, layers = {tensor.name for tensor in graph.initializer}, dict(net.named_modules())
    nodes = [node for node in graph.node if node.op_type in WITH_WEIGHTS and weights & set(node.input)]
    assert nodes and all(isinstance(layers[layer_of(node)], (nn.Linear, nn.Conv2d)) for node in nodes)


@pytest.mark.parametrize("chosen", [("stem",), ("stage_1",), ("stem", "stage_0"), ("stage_1", "classifier")])
def test_a_file_has_the_groups_in_int8_alone_and_answers_as_its_simulation(chosen: tuple[str, ...]) -> None:
    net, layers = resnet(), int8_layers(GROUPS, chosen)
    content = int8(onnx_bytes(net, IMAGES[:1]), [{"input": IMAGES.numpy()}], layers)
    graph = onnx.load_from_string(content).graph
    made_int8 = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear"}
    for node in graph.node:
        if node.op_type in ("Conv", "Gemm"):
            assert (node.input[1] in made_int8) == layers.holds(layer_of(node)), node.name
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"input": IMAGES.numpy()})
    with torch.no_grad():
        near, exact = simulated(net, IMAGES, layers)(IMAGES).numpy(), net(IMAGES).numpy()
    assert np.abs(answer - near).mean() < 0.5 * np.abs(answer - exact).mean()


def test_all_groups_are_the_file_in_int8_and_none_is_all_nodes_in_float32() -> None:
    net = resnet()
    whole, inputs = onnx_bytes(net, IMAGES[:1]), [{"input": IMAGES.numpy()}]
    assert int8(whole, inputs, int8_layers(GROUPS, GROUPS)) == int8(whole, inputs)
    proto = onnx.load_from_string(whole)
    assert float_nodes(proto, int8_layers(GROUPS, ())) == [node.name for node in proto.graph.node]
