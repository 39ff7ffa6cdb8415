"""Every shipped recipe on digits, for a few epochs: it removes what it says, warns of nothing, and still answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from ofa.errors import InvalidInput
from search.app.pruning import prune_stage
from search.config.read import read_request
from search.config.verbs import PruneRequest
from search.run.paths import conf_dir
from search.run.pruned_cards import PrunedCard
from tests.search.profiles import profile

pytestmark = pytest.mark.slow

EPOCHS = 8
LEAST_ACCURACY = 0.25  # a constant answer has 0.10; eight epochs do not give a net of 5 % much more than this
WEIGHTS = {  # recipe -> share of the weights that it keeps
    **dict.fromkeys(("cubic", "doubling", "every_epoch", "one_shot", "movement"), 0.1),
    **dict.fromkeys(("distilled", "snip", "grasp", "synflow", "static", "set", "rigl", "granet"), 0.05),
    **dict.fromkeys(("straight_through", "hard_concrete", "connection_policy"), 0.05),
    **{"obs": 0.2, "wanda": 0.5, "han2015": 0.083, "blocks": 0.1, "two_to_four": 0.5, "lottery": 0.64},
    **{"group_lasso": 0.4, "sparse_group_lasso": 0.2},
}
NEAR = {"group_lasso": 0.01, "sparse_group_lasso": 0.01, "lottery": 0.02, "blocks": 0.01, "two_to_four": 0.01}
CHANNELS = {  # recipe -> (least, most) share of the multiply-accumulates that its slim network has
    **dict.fromkeys(("channels", "channels_latency", "network_slimming", "soft", "amc"), (0.3, 0.5)),
    **{"growth": (0.2, 0.6), "filter_policy": (0.0, 0.999)},
}
ON_CONVOLUTIONS = {*CHANNELS, "han2015_alternating"}
QUICKLY = {
    "straight_through": [f"prune.method.epochs={EPOCHS}"],
    "hard_concrete": [f"prune.method.epochs={EPOCHS}"],
    "connection_policy": ["prune.method.updates=4", "prune.method.samples=4", "prune.method.images=200"],
    "han2015_alternating": ["dense.epochs=24"],  # half of the weights stand still in each
    "lottery": ["prune.method.rounds=2", "prune.method.controls=[]"],
    "amc": ["prune.method.episodes=12", "prune.method.images=100"],
    "filter_policy": ["prune.method.updates=8", "prune.method.samples=4", "prune.method.images=200"],
}
WEIGHTS["han2015_alternating"] = 0.083


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of outputs, so that each dense network is trained once, with a profile for budgets in ms."""
    folder = tmp_path_factory.mktemp("outputs")
    profile(1e-6).write(folder / "main" / "profiles" / "onnxruntime.json")
    return folder


@pytest.fixture(autouse=True)
def _without_exports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def refuse(*_: object) -> str:
        raise InvalidInput("left out")

    for writer in ("onnx_bytes", "network_source"):
        monkeypatch.setattr(f"search.networks.network_files.{writer}", refuse)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


def pruned(recipe: str, outputs: Path) -> PrunedCard:
    model = ["model=lenet5", "model.channels=[16,32]", "model.hidden=[64,32]"]
    model = model if recipe in ON_CONVOLUTIONS else ["model=lenet300"]
    terms = [f"dense.epochs={EPOCHS}", "dense.batch_size=32", "dense.validate_every=0", *QUICKLY.get(recipe, [])]
    config = compose("prune", [*model, *terms, f"prune={recipe}", f"outputs={outputs}"])
    return prune_stage(read_request(config, PruneRequest))


def test_every_recipe_is_here() -> None:
    assert {path.stem for path in (conf_dir() / "prune").glob("*.yaml")} == {*WEIGHTS, *CHANNELS}


@pytest.mark.parametrize("recipe", sorted({*WEIGHTS, *CHANNELS}))
def test_a_recipe_removes_what_it_says(recipe: str, outputs: Path) -> None:
    card = pruned(recipe, outputs)
    if recipe in WEIGHTS:
        assert card.density == pytest.approx(WEIGHTS[recipe], abs=NEAR.get(recipe, 0.002))
    if recipe in CHANNELS:
        assert card.slim is not None and card.slim.macs is not None and card.macs is not None
        least, most = CHANNELS[recipe]
        assert least * card.macs <= card.slim.macs <= most * card.macs
    assert card.warnings == ()
    assert card.scores.test["accuracy"].value > LEAST_ACCURACY
