"""conf/device: every option makes the runtime it is named for, and is measured by the same rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf

from search.device.runtime import RUNTIMES
from search.run.paths import conf_dir

OPTIONS = sorted(Path(conf_dir(), "device").glob("*.yaml"))


def composed(option: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        found = OmegaConf.to_container(compose("profile", [f"device={option}"]).device)
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
def test_an_option_says_what_it_is(path):
    device, usual = composed(path.stem), composed("onnxruntime")
    assert path.read_text().startswith("# ")
    assert device["name"] == path.stem
    assert device["runtime"]["_target_"] in RUNTIMES.values()
    assert device["profile"].keys() == usual["profile"].keys()
    assert device["profile"]["clock"] == "wall"


@pytest.mark.parametrize("path", OPTIONS, ids=lambda path: path.stem)
def test_its_keys_are_arguments_of_its_runtime(path):
    # One that is inherited from another option and does not belong would only show where the library is installed.
    runtime = composed(path.stem)["runtime"]
    made = get_class(runtime.pop("_target_"))
    assert set(runtime) <= set(made.__init__.__code__.co_varnames[1 : made.__init__.__code__.co_argcount])


def test_every_runtime_is_an_option():
    assert {RUNTIMES[name] for name in RUNTIMES} == {composed(path.stem)["runtime"]["_target_"] for path in OPTIONS}
    assert set(RUNTIMES) <= {path.stem for path in OPTIONS}
