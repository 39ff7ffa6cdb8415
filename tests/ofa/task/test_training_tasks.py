"""Every config of conf/task trains a supernet: the loss falls, scores are measured, the same seed gives the same."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from ofa import Supernet
from ofa.data import Dataset, Preprocessing, Split
from ofa.task import Task
from ofa.train import TrainSettings, sandwich, train
from search.objects import make_partial
from search.run.paths import conf_dir
from tests.composed import options
from tests.ofa.task.tasks_tried import CASES, EXAMPLES, Case, candidates, detector_loss
from tests.ofa.task.test_shipped_tasks import VARIANTS


class Net(nn.Module):
    """A small network whose outputs have the form of a case's, with what tasks may ask of a network."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        leaves, self.structure = tree_flatten(case.outputs)
        self.shapes = [leaf.shape[1:] for leaf in leaves if leaf.dim()]
        self.hidden = nn.Linear(5, 16)
        self.layers = nn.ModuleList(nn.Linear(16, shape.numel()) for shape in self.shapes)
        self.own_loss = isinstance(case.outputs, dict) and "loss" in case.outputs

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Any:
        hidden = self.hidden(inputs).relu()
        parts = [layer(hidden).reshape(-1, *shape) for layer, shape in zip(self.layers, self.shapes, strict=True)]
        if not self.own_loss:
            return tree_unflatten(parts, self.structure)
        if labels is None:
            return {"logits": parts[0]}
        return {"loss": nn.functional.cross_entropy(parts[0], labels), "logits": parts[0]}

    def loss(self, outputs: Any, targets: Any) -> Any:
        return detector_loss(outputs, targets)

    def decode(self, outputs: Any) -> Any:
        return candidates(outputs)


def trained(case: Case, task: Task, data: Dataset) -> list[dict[str, Any]]:
    torch.manual_seed(0)
    optimizer = partial(torch.optim.Adam, lr=0.05)
    settings = TrainSettings(epochs=6, batch_size=8, optimizer=optimizer, validate_every=6)
    supernet = Supernet(Net(case), data.train.images[:2])
    assert len(supernet.space.choices) == 1  # the hidden units
    return list(train(supernet, data, partial(sandwich, random_subnets=1, label_weight=1), settings, task=task))


@pytest.mark.parametrize("name", options("task"))
def test_every_config_trains(name: str) -> None:
    case = CASES[VARIANTS.get(name, name)]
    inputs = torch.randn(EXAMPLES, 5, generator=torch.Generator().manual_seed(0))
    split = Split(inputs, case.targets, Preprocessing(1.0, (), ()))
    classes = None if name == "regression" else 4
    data = Dataset(name, split, split, split, classes)
    config = OmegaConf.to_container(OmegaConf.load(conf_dir() / f"task/{name}.yaml"))
    task = make_partial("task", config)(data)
    rows = trained(case, task, data)
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert set(rows[-1]["scores"]["largest"]) == {metric.name for metric in task.metrics}
    assert [row["loss"] for row in trained(case, task, data)] == [row["loss"] for row in rows]
