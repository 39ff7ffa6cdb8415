"""A network of several inputs is trained, profiled, searched and extracted like one of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import ofa
import search
from ofa.data import from_inputs
from ofa.data.checks import check_data
from ofa.data.contents import contents_of
from ofa.inputs import logits_of
from ofa.train import TrainSettings, train
from ofa.train.strategies import sandwich
from search.run.stored_inputs import settings_digest
from tests.search.door.reader import Reader, supernet, texts
from tests.search.door.small import DEVICE, MET, QUICK

NAME = "tests.search.door.reader"


def test_data_of_several_tensors() -> None:
    data = texts()
    inputs, labels = data.train.take(torch.tensor([3, 1]))
    assert list(inputs.tensors()) == ["ids", "mask"] and inputs.batch == len(labels) == 2
    assert data.input_shape == (6,) and data.num_classes == 3 and check_data(data) == []
    assert len(data.calibration(10)) == 10
    assert contents_of(data).digests == contents_of(texts()).digests
    whole = data.train.table
    assert whole is not None
    changed = from_inputs(
        {"ids": whole.kwargs["ids"], "mask": ~whole.kwargs["mask"]}, data.train.labels, validation=0.2, test=0.2
    )
    assert not torch.isin(changed.train.identities, data.train.identities).any()


def test_other_values_have_another_digest() -> None:
    """Accuracies are cached under it: `repr` of a long tensor leaves most of it out."""
    ids = torch.zeros(40, 200, dtype=torch.int64)
    other = ids.clone()
    other[20, 100] = 1
    first = settings_digest(ofa.Inputs(ids=ids, flag=True))
    assert first == settings_digest(ofa.Inputs(ids=ids.clone(), flag=True))
    assert (
        len(
            {first, settings_digest(ofa.Inputs(ids=other, flag=True)), settings_digest(ofa.Inputs(ids=ids, flag=False))}
        )
        == 3
    )
    assert settings_digest(ofa.Inputs(other=ids, flag=True)) != first


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_supernet_of_several_inputs_learns(accumulation: int) -> None:
    net = supernet()
    settings = TrainSettings(
        optimizer=partial(torch.optim.AdamW, lr=0.02), epochs=12, batch_size=24, accumulation=accumulation
    )
    history = train(net, texts(), sandwich, settings)
    assert history[-1]["loss"] < history[0]["loss"]
    assert history[-1]["scores"]["largest"]["accuracy"] > 0.6


@pytest.fixture(scope="module")
def findings() -> Any:
    return search.find(supernet(), texts(), MET, evaluations=4, **QUICK)


def test_it_is_searched_and_extracted(findings: Any, tmp_path: Path) -> None:
    folder = tmp_path / "best"
    findings.extract(folder)
    verify = np.load(folder / "verify.npz")
    assert verify["ids"].dtype == np.int64 and verify["mask"].dtype == np.bool_
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    assert [value.name for value in session.get_inputs()] == ["ids", "mask"]
    (logits,) = session.run(["logits"], {"ids": verify["ids"], "mask": verify["mask"]})
    np.testing.assert_allclose(logits, verify["logits"], atol=1e-5)
    net = search.load(folder, model=Reader())
    with torch.no_grad():
        again = logits_of(net(torch.from_numpy(verify["ids"]), mask=torch.from_numpy(verify["mask"])), net)
    np.testing.assert_allclose(again.numpy(), verify["logits"], atol=1e-6)


def test_a_verb_makes_it_again(tmp_path: Path) -> None:
    net = supernet()
    folder = search.adopt(net, texts(), "mine", tmp_path, dataset=f"{NAME}.texts", progress=False)
    search.profile(net, DEVICE, run="mine", outputs=tmp_path, progress=False)
    assert list((folder.root / "profiles").iterdir())
    with pytest.raises(ofa.InvalidInput, match="name the function that makes the data"):
        search.adopt(net, texts(), "other", tmp_path, progress=False)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ofa.InvalidInput, match="give one whole number each"):
        from_inputs({"ids": torch.zeros(4, 2, dtype=torch.int64)}, torch.zeros(3, dtype=torch.int64))
    with pytest.raises(ofa.InvalidInput, match="must be a fraction"):
        from_inputs((torch.rand(40, 2),), torch.arange(40) % 2, validation=3)  # type: ignore[arg-type]
