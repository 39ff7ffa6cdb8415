"""Other networks than supernets of images in a real browser: pruned, with weights of one's own, and of texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.app.main import main
from search.config.compressing import StudioSetting
from search.studio.judging import metric_of, score_of
from search.studio.opened import open_studio
from search.studio.shaping import Workbench
from tests.browser import Page
from tests.search.requests import request
from tests.search.studio.conftest import served
from tests.search.studio.page_controls import at_rest, figure, press, put, settle, text

pytestmark = pytest.mark.slow
SMALL = ["train", "train=sandwich_adamw", "train.epochs=1", "train.batch_size=32", "train.validate_every=0"]
GPT = ["model=gpt", "model.width=16", "model.depth=1", "model.heads=2", "model.head_size=8"]
MADE = {
    "sequence": [*SMALL, *GPT, "data=text", "data.dataset.samples=256", "task=sequence_classification"],
    "language": [
        *(*SMALL, *GPT, "model.every_token=true", "task=language_model"),
        *("data=characters", "data.dataset.context=16", "data.dataset.limit=4000"),
    ],
    "pruned": ["prune", "model=mlp", "data=digits", "prune=one_shot", "dense.epochs=1"],
}
WEIGHTS = "outputs/pruned/dense/own.safetensors"
OPENED = {
    "sequence": ["run=sequence"],
    "language": ["run=language"],
    "pruned": ["path='outputs/pruned/prune/mlp-digits-one_shot_dense.epochs=1'"],
    "own": ["run=own", "model=mlp", "data=digits", "start=checkpoint", f"start.path={WEIGHTS}"],
}


@pytest.fixture(scope="module")
def networks(place: Path) -> Path:
    for name, words in MADE.items():
        assert main([*words, f"run={name}"]) == 0
    (dense,) = (place / "outputs/pruned/dense").glob("*/model.safetensors")
    (place / WEIGHTS).write_bytes(dense.read_bytes())
    return place


@pytest.mark.parametrize("name", OPENED)
def test_it_is_pruned_fine_tuned_with_a_teacher_and_extracted(name: str, networks: Path, browser: Page) -> None:
    opened = open_studio(request("studio", *OPENED[name]))
    layer = opened.layers[-1]
    setting = StudioSetting(layers={layer: 0.95}, epochs=1, teacher="start")
    with served(opened) as url, at_rest(browser, url) as page:
        put(page, f"layer-{layer}", 95)
        put(page, "teacher", "start")
        press(page, "tune")
        page.wait("document.getElementById('history').textContent.startsWith('1 epoch: ')")
        settle(page)
        shaped = Workbench(opened).shape(setting, lambda piece: None)
        score = score_of(shaped, opened, lambda piece: None)
        assert figure(page, "score") == metric_of(opened).text(score)
        assert page.barriers() == []
        put(page, "extract-name", f"{name}-by-hand")
        press(page, "extract")
        page.wait("!document.getElementById('extract-code').hidden")
        exec(compile(text(page, "#extract-code"), "shown", "exec"), {})
