"""What a person does in the studio, in a real browser: every control does what it says, and nothing is in the way."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import ofa
from search.config.compressing import StudioSetting
from search.networks.rebuild import load
from search.studio.judging import metric_of, score_of
from search.studio.opened import Opened
from search.studio.shaping import Workbench
from tests.browser import Page
from tests.search.studio.page_controls import SCORED, at_rest, figure, press, put, settle, text

pytestmark = pytest.mark.slow
LOOKS = [(width, dark) for width in (1440, 768, 390) for dark in (False, True)]
STEM = "stem.conv.weight"
CUT = """[...document.querySelectorAll('.scroll')].filter(box => box.scrollWidth > box.clientWidth + 1)
  .map(box => box.innerText)"""
PAGES = ("studio", "tickets", "regularizers", "compression", "initializers", "schedules")


@pytest.fixture
def page(browser: Page, url: str) -> Iterator[Page]:
    with at_rest(browser, url) as opened:
        yield opened


def expected(opened: Opened, **setting: Any) -> str:
    """The score that the library gives for a setting."""
    shaped = Workbench(opened).shape(StudioSetting(**setting), lambda piece: None)
    return metric_of(opened).text(score_of(shaped, opened, lambda piece: None))


@pytest.mark.parametrize(("width", "dark"), LOOKS)
def test_no_page_is_cut_or_hard_to_use(browser: Page, url: str, width: int, dark: bool) -> None:
    browser.look(width, dark=dark)
    for name in PAGES:
        browser.open("about:blank")
        browser.open(f"{url}#{name}")
        browser.wait(SCORED)
        browser.wait("document.getElementById('working').textContent === ''")
        if name in ("schedules", "initializers"):
            browser.value(f"document.querySelector('form[data-lesson={name}]').requestSubmit()")
            browser.wait(f"document.querySelectorAll('#{name}-chart .line').length > 7")
        if name == "compression":
            put(browser, "compression-epochs", 1, settles=False)
            browser.value(f"document.querySelector('form[data-lesson={name}]').requestSubmit()")
            browser.wait("document.querySelectorAll('#compression-table tbody tr').length === 6")
        if name == "studio":
            put(browser, "sparsity", 80)
            press(browser, "pin")
            browser.wait("document.querySelectorAll('#figures thead th').length === 4")
            settle(browser)
        assert browser.value("document.documentElement.scrollWidth") <= width, name
        assert browser.value(CUT) == [], name
        assert browser.barriers() == [], name
    assert browser.errors == []


def test_sliders_of_sparsity_move_score_figures_and_pictures(page: Page, opened: Opened) -> None:
    assert figure(page, "score") == expected(opened)
    put(page, f"layer-{STEM}", 90)
    assert figure(page, "score") == expected(opened, layers={STEM: 0.9})
    layer = f'[aria-label="{STEM}"] .shape'
    assert "90.3 % of 144 removed" in text(page, layer)
    put(page, "sparsity", 60)
    assert figure(page, "score") == expected(opened, sparsity=0.6, layers={STEM: 0.9})
    assert text(page, "#sparsity-text") == "60 %"
    assert page.value("document.getElementById('sparsity').getAttribute('aria-valuetext')") == "60 %"
    page.value(f"document.querySelector('[aria-label=\"sparsity of {STEM} as the whole network\\'s\"]').click()")
    settle(page)
    assert figure(page, "score") == expected(opened, sparsity=0.6)
    page.wait("document.querySelector('[data-figure=ofaz_bytes] small').textContent.startsWith('coded')")
    assert text(page, "#live").startswith("validation accuracy ")


def test_menus_and_bits_do_what_they_say(page: Page, opened: Opened) -> None:
    put(page, "sparsity", 70)
    for menu, option in (("criterion", "taylor"), ("allocation", "lamp"), ("granularity", "block")):
        put(page, menu, option)
    parts = {"criterion": "taylor", "allocation": "lamp", "granularity": "block"}
    assert figure(page, "score") == expected(opened, sparsity=0.7, **parts)
    put(page, "bits", 2)
    put(page, f"bits-{STEM}", 4)
    assert figure(page, "score") == expected(opened, sparsity=0.7, bits=2, layer_bits={STEM: 4}, **parts)
    assert "values" in text(page, f'[aria-label="{STEM}"] .shape')


def test_sliders_of_shape_choose_the_subnet(page: Page, opened: Opened) -> None:
    assert opened.supernet is not None
    space = opened.supernet.space
    for kind in {choice.kind for choice in space.choices if len(choice.values) > 1}:
        if page.value(f"document.getElementById('all-{kind}') !== null"):
            put(page, f"all-{kind}", 0)
        else:
            (key,) = (choice.key for choice in space.choices if choice.kind == kind and len(choice.values) > 1)
            put(page, f"choice-{key}", 0)
    assert figure(page, "score") == expected(opened, arch=dict(space.smallest.values))
    cost = ofa.cost(opened.supernet, [space.smallest])
    assert figure(page, "params") == f"{int(cost['params'][0]) / 1000:.2f} k"


def test_undo_redo_and_reset_go_through_what_was_set(page: Page, opened: Opened) -> None:
    for sparsity in (50, 80):
        put(page, "sparsity", sparsity)
    press(page, "undo")
    settle(page)
    assert text(page, "#sparsity-text") == "50 %"
    assert figure(page, "score") == expected(opened, sparsity=0.5)
    control_z = "new KeyboardEvent('keydown', {key: 'z', ctrlKey: true, bubbles: true})"
    page.value(f"document.body.dispatchEvent({control_z})")
    settle(page)
    assert text(page, "#sparsity-text") == "0 %" and page.value("document.getElementById('undo').disabled")
    press(page, "redo")
    press(page, "redo")
    settle(page)
    assert text(page, "#sparsity-text") == "80 %" and page.value("document.getElementById('redo').disabled")
    press(page, "reset")
    settle(page)
    assert figure(page, "score") == expected(opened)


def test_two_settings_stand_side_by_side(page: Page, opened: Opened) -> None:
    press(page, "pin")
    put(page, "sparsity", 95)
    page.wait("document.querySelector('[data-figure=score] .change') !== null")
    settle(page)
    cells = page.value("[...document.querySelectorAll('[data-figure=score] td')].map(cell => cell.textContent)")
    assert cells[:2] == [expected(opened, sparsity=0.95), expected(opened)]
    assert "points" in cells[2]
    assert page.value(f"document.querySelectorAll('[aria-label=\"{STEM}\"] canvas').length") == 2
    # Both files are coded in the end: an estimate beside one would say nothing.
    coded = "document.querySelectorAll('[data-figure=ofaz_bytes] td')"
    page.wait(f"[...{coded}].slice(0, 2).every(cell => !cell.textContent.startsWith('about'))")
    assert "%" in page.value(f"{coded}[2].textContent")
    press(page, "pin")
    assert page.value("document.querySelectorAll('#figures thead th').length") == 2


def test_a_candidate_is_kept_and_loaded(page: Page, opened: Opened, url: str) -> None:
    put(page, "sparsity", 40)
    put(page, "keep-name", "forty", settles=False)
    press(page, "keep")
    page.wait("document.getElementById('candidates').textContent.includes('forty')")
    page.open("about:blank")
    page.open(url)
    page.wait("document.querySelector('[aria-label=\"Load forty\"]') !== null")
    settle(page)
    page.value("document.querySelector('[aria-label=\"Load forty\"]').click()")
    settle(page)
    assert figure(page, "score") == expected(opened, sparsity=0.4)


def test_an_epoch_of_fine_tuning_and_an_extraction(page: Page, opened: Opened, place: Path) -> None:
    put(page, f"layer-{STEM}", 90)
    put(page, "teacher", "largest")
    assert text(page, "#taught") == "The supernet's largest subnet. 50 % of the loss is against its outputs."
    put(page, "epochs", 1, settles=False)
    press(page, "tune")
    page.wait("document.getElementById('history').textContent.startsWith('1 epoch: ')")
    settle(page)
    assert figure(page, "score") == expected(opened, layers={STEM: 0.9}, epochs=1, teacher="largest")
    put(page, "extract-name", "by-hand")
    press(page, "extract")
    page.wait("!document.getElementById('extract-code').hidden")
    folder = place / "outputs/tiny/subnets/by-hand"
    assert "setting={layers:{stem.conv.weight:0.9},epochs:1,teacher:largest}" in text(page, "#command")
    check = np.load(folder / "verify.npz")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    (logits,) = session.run(["logits"], {"input": check["input"]})
    assert np.abs(logits - check["logits"]).max() < 1e-4
    network = load(folder)
    assert float((dict(network.named_parameters())[STEM] == 0).double().mean()) == pytest.approx(0.9, abs=0.01)
    code = text(page, "#extract-code").replace('"outputs/', f'"{place}/outputs/')
    exec(compile(code, "shown", "exec"), {})


def test_an_error_is_one_line_in_the_page(page: Page) -> None:
    put(page, "extract-name", "a/b", settles=False)
    press(page, "extract")
    page.wait("!document.getElementById('error').hidden")
    assert re.fullmatch(r"extract='a/b' must be a plain name[^\n]*", text(page, "#error"))
    put(page, "extract-name", "by-hand-2")


def test_every_control_is_native_and_has_a_name(page: Page) -> None:
    nameless = """[...document.querySelectorAll('input, select, button')].filter(control => !control.labels?.length
      && !control.getAttribute('aria-label') && !control.textContent.trim()).map(control => control.outerHTML)"""
    assert page.value(nameless) == []
    others = "document.querySelectorAll('[onclick], [tabindex]:not([tabindex=\"0\"]):not(main)').length"
    assert page.value(others) == 0


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("tickets", "document.querySelectorAll('#tickets-cards [data-kind]').length === 3"),
        ("regularizers", "document.querySelectorAll('#regularizers-cards [data-regularizer]').length === 7"),
        ("compression", "document.querySelectorAll('#compression-table tbody tr').length === 6"),
        ("initializers", "document.querySelectorAll('#initializers-cards [data-initializer]').length === 8"),
        ("schedules", "document.querySelectorAll('#schedules-texts dt').length === 8"),
    ],
)
def test_a_class_page_draws_what_it_computes(page: Page, name: str, drawn: str) -> None:
    page.value(f"document.querySelector('nav a[href=\"#{name}\"]').click()")
    for field in page.value(f"[...document.querySelectorAll('form[data-lesson={name}] [name=epochs]')].map(e => e.id)"):
        put(page, field, 2, settles=False)
    page.value(f"document.querySelector('form[data-lesson={name}]').requestSubmit()")
    page.wait(drawn)
    page.wait(f"document.getElementById('live').textContent === '{name}: done'")
    assert page.value(f"document.querySelector('[data-page={name}]').hidden") is False
    assert page.value("document.querySelector('[data-page=studio]').hidden") is True
    for width in (1440, 768, 390):
        page.look(width)
        assert page.value("document.documentElement.scrollWidth") <= width
        assert page.value(CUT) == []
        assert page.barriers() == []
    if name == "regularizers":
        page.wait("Number(document.getElementById('regularizers-epoch').value) === 2")  # the animation ran
    if name == "tickets":
        put(page, "tickets-density", 1, settles=False)
        assert "50 %" in text(page, "#tickets-density-text")
