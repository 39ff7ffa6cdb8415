"""An option of a group read alone is what Hydra composes."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from ofa.errors import InvalidInput
from search.config.read import group_option
from search.run.paths import conf_dir
from tests.search.requests import configuration

OPTIONS = [
    (group, path.stem) for group in ("device", "sampler") for path in sorted((conf_dir() / group).glob("*.yaml"))
]


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_an_option_is_what_hydra_composes(group: str, name: str) -> None:
    composed = configuration("search", f"{group}={name}")[group]
    assert group_option(group, name) == OmegaConf.to_container(composed)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"sampler='nsga' is not known; did you mean nsga[23], nsga[23]"):
        group_option("sampler", "nsga")
