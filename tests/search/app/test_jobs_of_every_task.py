"""Whole jobs, one for each kind of task, as `ofa run experiment=NAME` does them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch

from search.app.main import main
from search.networks.rebuild import load
from tests.search.steady_device import steady_device
from tests.without_the_package import check_plain_pytorch


class Job(NamedTuple):
    metric: str  # the objective
    title: str  # as people read it
    direction: str
    unit: str
    least_gain: float  # of the largest subnet over the answer without a network, of validation scores
    allowed: float  # the worst that a subnet may be
    limit: str  # that, as the page says it


JOBS = {
    "tiny": Job("accuracy", "accuracy", "higher", "%", 0.5, 0.3, "accuracy ≥ 30.00 %"),
    "imbalanced": Job("balanced_accuracy", "balanced accuracy", "higher", "%", 0.5, 0.2, "balanced accuracy ≥ 20.00 %"),
    "multilabel": Job("macro_f1", "macro F1", "higher", "%", 0.3, 0.1, "macro F1 ≥ 10.00 %"),
    "regression": Job("rmse", "RMSE", "lower", "points", 12.0, 90.0, "RMSE ≤ 90 points"),
    "segmentation": Job("mean_iou", "mean IoU", "higher", "%", 0.15, 0.1, "mean IoU ≥ 10.00 %"),
    "detection": Job("map_50", "mAP@.5", "higher", "%", 0.25, 0.05, "mAP@.5 ≥ 5.00 %"),
    "language": Job(
        "bits_per_byte", "bits per byte", "lower", "bits per byte", 0.8, 6.0, "bits per byte ≤ 6 bits per byte"
    ),
}


EVALUATIONS = 8
# What the weights do not depend on, and fewer networks to look at than an experiment has.
LESS = ["train.validate_every=0", f"search.evaluations={EVALUATIONS}", "search.latency_fractions=[0.5,0.8]"]


class Done(NamedTuple):
    job: Job
    run: Path
    said: str

    def read(self, name: str) -> Any:
        return json.loads((self.run / name).read_text())

    @property
    def extracted(self) -> list[Path]:
        return [self.run / row["folder"] for row in self.read("subnets/onnxruntime.json")["rows"] if row["folder"]]


@pytest.fixture(scope="module", params=JOBS)
def done(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """A job that was run once, on a device whose times are a function of the network alone."""
    name = request.param
    with pytest.MonkeyPatch.context() as patch, steady_device():
        place = tmp_path_factory.mktemp(name)
        patch.chdir(place)
        job = JOBS[name]
        sign = ">=" if job.direction == "higher" else "<="
        limit = f"search.metric_limits={{{job.metric}: '{sign} {job.allowed}'}}"
        assert main(["run", f"experiment={name}", "study=onnxruntime", limit, *LESS]) == 0
        yield Done(job, place / "outputs" / name, "")


@pytest.mark.slow
def test_the_supernet_beats_the_answer_without_a_network(done: Done) -> None:
    card = done.read("supernet/supernet.json")
    (first, *_) = card["metrics"]
    assert (first["name"], first["title"], first["unit"]) == (done.job.metric, done.job.title, done.job.unit)
    assert first["maximize"] == (done.job.direction == "higher")
    baseline = (card["baseline"] or {}).get("validation", {}).get(done.job.metric, {"value": 0.0})["value"]
    for end, share in (("largest", 1.0), ("smallest", 0.4)):
        score = card["scores"][end]["validation"][done.job.metric]
        gain = score["value"] - baseline
        assert (gain if first["maximize"] else -gain) > share * done.job.least_gain
        assert score["examples"] > 0 and score["standard_error"] is not None


@pytest.mark.slow
def test_what_is_chosen_meets_its_limit(done: Done) -> None:
    rows = [row for row in done.read("subnets/onnxruntime.json")["rows"] if not row["largest"]]
    assert rows
    for row in rows:
        assert row["measured_ms"] <= row["limit_ms"]
        card = json.loads((done.run / row["folder"] / "card.json").read_text())
        assert card["scores"] == row["scores"] and done.job.metric in card["scores"]["test"]
        assert card["metrics"][0]["name"] == done.job.metric


@pytest.mark.slow
def test_what_is_chosen_keeps_the_limit_on_the_metric(done: Done) -> None:
    content = done.read("search/onnxruntime/finalists.json")
    assert content["metric_limits"] == {done.job.metric: done.job.allowed}
    sign = 1 if done.job.direction == "higher" else -1
    for finalist in content["finalists"]:
        assert sign * finalist["chosen"]["scores"][done.job.metric]["value"] >= sign * done.job.allowed
    page = (done.run / "report.html").read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert done.job.limit in page


@pytest.mark.slow
def test_the_search_was_for_the_metric_in_its_direction(done: Done) -> None:
    rows = [row for row in done.read("search/onnxruntime/trials.json")["rows"] if row["state"] == "evaluated"]
    assert len(rows) == EVALUATIONS
    scores = {row["number"]: row["scores"][done.job.metric]["value"] for row in rows}
    sign = 1 if done.job.direction == "higher" else -1
    best = max(sign * score for score in scores.values())
    chosen = done.read("subnets/onnxruntime.json")["rows"][-2]["scores"]["validation"][done.job.metric]["value"]
    assert sign * chosen >= np.median([sign * score for score in scores.values()]) - 1e-9
    assert sign * chosen <= best + 1e-6


@pytest.mark.slow
def test_the_files_compute_what_the_network_does(done: Done) -> None:
    for place in done.extracted:
        verify = np.load(place / "verify.npz")
        session = onnxruntime.InferenceSession(place / "model.onnx", providers=["CPUExecutionProvider"])
        (outputs,) = session.run(None, {session.get_inputs()[0].name: verify["input"]})
        np.testing.assert_allclose(outputs, verify["logits"], atol=1e-3, rtol=1e-4)
        with torch.no_grad():
            again = load(place)(torch.from_numpy(verify["input"]))
        np.testing.assert_allclose(again.numpy(), verify["logits"], atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_the_files_need_nothing_of_ours(done: Done) -> None:
    written = [place for place in done.extracted if (place / "network.py").is_file()]
    if not written:  # the card says why
        card = json.loads((done.extracted[0] / "card.json").read_text())
        pytest.skip(card["plain_pytorch"]["refused"])
    check_plain_pytorch(*written)


@pytest.mark.slow
def test_the_page_names_the_metric_its_direction_and_its_unit(done: Done) -> None:
    page = (done.run / "report.html").read_text()
    assert f"{done.job.direction} is better" in page
    assert f"{done.job.title}, {done.job.unit}" in page or f"{done.job.title} ({done.job.direction}" in page
    assert page.count("</html>") == 1 and "± " in page
    if done.job.metric != "accuracy":
        assert f">{done.job.title}" in page
