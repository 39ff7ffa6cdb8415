"""The programs and configs of docs/tasks.md run as they stand there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import ofa.task
from ofa.identity import as_json
from ofa.task import Task
from search.objects import make
from tests.composed import options
from tests.ofa.task.tasks_tried import CASES
from tests.ofa.task.test_shipped_tasks import VARIANTS

PAGE = (Path(__file__).parents[3] / "docs/tasks.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_programs_run(capsys) -> None:
    pytest.importorskip("torchmetrics")
    torch.manual_seed(0)
    names: dict[str, Any] = {"__name__": "page"}
    for block in blocks("python"):
        exec(block, names)
    assert re.fullmatch(r"within one \d+\.\d\d ± \d\.\d\d % of 100\n", capsys.readouterr().out)
    ordinal = names["ordinal"]
    assert as_json({"task": ordinal()}) == as_json({"task": ordinal()})
    assert sum(bool(line.strip()) for line in blocks("python")[0].splitlines()) < 16


def test_the_configs_are_made() -> None:
    pytest.importorskip("torchmetrics")
    own_loss, metrics = (yaml.safe_load(block) for block in blocks("yaml"))
    task = make(own_loss)(CASES["language_model"].data)
    assert isinstance(task, Task) and task.name == "language_model"
    config = {"_target_": "ofa.task.classification", "_partial_": True, "num_classes": 10, **metrics}
    assert [metric.name for metric in make(config)().metrics] == ["accuracy", "multiclass_auroc", "jaccard"]


def test_the_table_names_every_task_and_its_metrics() -> None:
    rows = {
        cells[1].strip(" `"): cells
        for line in PAGE.splitlines()
        if (cells := line.split("|"))[0] == "" and len(cells) > 5
    }
    assert set(rows) - {"task", "---"} == set(options("task")) - VARIANTS.keys()
    assert all(f"task={name}`" in PAGE for name in VARIANTS)
    for name, case in CASES.items():
        known = {metric.name for metric in case.task.metrics}
        if name not in ("own_loss", "sequence_classification"):
            assert known <= set(re.findall(r"\w+", rows[name][5])), name
        assert hasattr(ofa.task, name)
