"""Every recipe of `ofa prune` and every part of one: composed, made into objects, and run for two steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from ofa.checkpoint import load_checkpoint
from ofa.errors import InvalidInput
from search.app.pruning import prune_stage
from search.config.read import read_request
from search.config.verbs import PruneRequest
from search.run.paths import PrunedFolder, conf_dir
from search.run.pruned_cards import PrunedCard
from tests.search.profiles import profile

pytestmark = pytest.mark.filterwarnings("ignore::ofa.errors.CollapseWarning")  # so little is trained

TINY = [
    "model=lenet5",
    "data=synthetic",
    "data.dataset.image_size=8",
    "data.dataset.samples=160",
    "dense.epochs=1",
    "dense.batch_size=48",
    "prune.scoring=1",
]
QUICKLY = {
    "straight_through": ["prune.method.epochs=1"],
    "hard_concrete": ["prune.method.epochs=1"],
    "connection_policy": ["prune.method.updates=1", "prune.method.samples=2", "prune.method.images=16"],
    "lottery": ["prune.method.rounds=1"],
    "amc": ["prune.method.episodes=2", "prune.method.images=16"],
    "filter_policy": ["prune.method.updates=1", "prune.method.samples=2", "prune.method.images=16"],
    "obs": ["prune.method.examples=64"],
    "wanda": ["prune.method.examples=64"],
}
SPARSITY = {
    "distilled": 0.95,
    "obs": 0.8,
    "wanda": 0.5,
    "han2015": 0.917,
    "han2015_alternating": 0.917,
    "two_to_four": 0.5,
    "lottery": 0.2,
}
SPARSITY |= dict.fromkeys(("snip", "grasp", "synflow", "static", "set", "rigl", "granet"), 0.95)
SPARSITY |= dict.fromkeys(("straight_through", "hard_concrete", "connection_policy"), 0.95)
SPARSITY |= dict.fromkeys(("cubic", "one_shot", "every_epoch", "doubling", "movement", "blocks"), 0.9)
STRUCTURED = {
    "channels",
    "channels_latency",
    "network_slimming",
    "group_lasso",
    "sparse_group_lasso",
    "soft",
    "growth",
    "amc",
    "filter_policy",
}
# Parts that do not go with the recipe cubic as it is.
WITH = {
    "criterion/synflow": ["prune/schedule=one_shot"],
    "criterion/norm_scale": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "criterion/apoz": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "criterion/activation": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "criterion/fpgm": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "granularity/channel": ["prune.sparsity=0.5"],
    "granularity/channel_latency": ["prune.sparsity=0.5"],
    "granularity/two_to_four": ["prune.sparsity=0.5"],
    "allocation/budget": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "schedule/soft": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "regrowth/units": ["prune/granularity=channel", "prune.sparsity=0.5"],
    "follower/alternation": ["prune.followers.alternation.every=1"],
    "method/gates": ["prune/schedule=none", *QUICKLY["straight_through"]],
    "method/policy": ["prune/schedule=none", *QUICKLY["connection_policy"]],
    "method/widths": ["prune/schedule=none", *QUICKLY["amc"]],
    "method/filters": ["prune/schedule=none", *QUICKLY["filter_policy"]],
    "method/tickets": ["prune/schedule=none", *QUICKLY["lottery"]],
    "method/obs": ["prune/schedule=none", *QUICKLY["obs"]],
    "method/wanda": ["prune/schedule=none", *QUICKLY["wanda"]],
}


def options(group: str) -> list[str]:
    """Returns the names in a group of configs."""
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def used() -> set[str]:
    """Returns the parts that some recipe is made of."""
    recipes = [yaml.safe_load(path.read_text())["defaults"] for path in (conf_dir() / "prune").glob("*.yaml")]
    pairs = [pair for defaults in recipes for row in defaults if isinstance(row, dict) for pair in row.items()]
    return {f"{group.removeprefix('override ')}/{option}" for group, option in pairs}


USED = used()
PARTS = [
    pytest.param(part, marks=pytest.mark.slow if part in USED else ())  # every recipe prunes, too
    for path in sorted((conf_dir() / "prune").glob("*/*.yaml"))
    for part in [f"{path.parent.name}/{path.stem}"]
]


@pytest.fixture(autouse=True)
def _composer() -> Iterator[None]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of outputs, so that the dense network is trained once, with a profile for budgets in ms."""
    folder = tmp_path_factory.mktemp("outputs")
    profile(1e-6).write(folder / "main" / "profiles" / "onnxruntime.json")
    return folder


@pytest.fixture
def without_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves out the ONNX files and the source, most of the time, where a recipe's other parts are the matter."""

    def refuse(*_: object) -> str:
        raise InvalidInput("left out")

    for writer in ("onnx_bytes", "network_source"):
        monkeypatch.setattr(f"search.networks.network_files.{writer}", refuse)


def pruned(outputs: Path, *overrides: str) -> tuple[PrunedCard, PrunedFolder]:
    """Returns the card and the folder that a command leaves."""
    config = compose("prune", [*TINY, f"outputs={outputs}", *overrides])
    request = read_request(config, PruneRequest)
    card = prune_stage(request)
    return card, PrunedFolder(request.folder.pruned / card.name)


@pytest.mark.parametrize("recipe", options("prune"))
def test_every_recipe_prunes(recipe: str, outputs: Path) -> None:
    card, files = pruned(outputs, f"prune={recipe}", *QUICKLY.get(recipe, []))
    assert set(SPARSITY) | STRUCTURED == set(options("prune"))
    if recipe in SPARSITY:
        # Whole tiles, layers without four inputs in a row, and a last layer at half the pace: not to the last weight.
        near = {"blocks": 0.02, "two_to_four": 0.02, "lottery": 0.02}.get(recipe, 1e-4)
        assert card.density == pytest.approx(1 - SPARSITY[recipe], abs=near)
    masks, _ = load_checkpoint(files.masks)
    weights, _ = load_checkpoint(files.weights)
    for name, mask in masks.items():
        assert not weights[name][~mask.bool()].any(), name
    assert sum(int(masks[row.name].sum()) for row in card.layers) == card.kept
    assert (card.slim is not None) == (recipe in STRUCTURED)
    if recipe in ("channels", "network_slimming", "amc", "soft"):
        assert card.slim.macs <= 0.5 * card.macs
    if card.slim is not None:
        assert card.slim.scores == card.scores
        assert card.slim.onnx.max_relative_difference < 1e-4
    assert not list(files.root.glob("*checkpoint*")) and not list(files.root.glob("found*"))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_of_a_recipe_works_in_another(part: str, outputs: Path, without_exports: None) -> None:
    group, option = part.split("/")
    card, _ = pruned(outputs, "prune=cubic", f"prune/{group}={option}", *WITH.get(part, []))
    assert 0 < card.density <= 1


@pytest.mark.parametrize("initializer", options("initializer"))
def test_every_initializer_gives_a_network_of_its_own(initializer: str, outputs: Path, without_exports: None) -> None:
    card, _ = pruned(outputs, f"initializer={initializer}", "prune=snip")
    plain, _ = pruned(outputs, "prune=snip")
    assert (card.digest == plain.digest) == (initializer == "built")
    assert (card.dense.digest == plain.dense.digest) == (initializer == "built")


@pytest.mark.parametrize("dense", options("dense"))
def test_every_training_of_dense_networks_trains(dense: str, outputs: Path, without_exports: None) -> None:
    card, _ = pruned(outputs, f"dense={dense}", "prune=snip")
    assert card.dense.scores.test["accuracy"].value > 0


def test_regularizers_add_up(outputs: Path) -> None:
    both = compose("prune", ["prune/regularizer=[group_lasso,orthogonal]"]).prune.regularizers
    assert set(both) == {"group_lasso", "orthogonal"}
    card, _ = pruned(
        outputs, "prune/regularizer=[proximal_l1,orthogonal]", "prune.regularizers.proximal_l1.strength=500"
    )
    assert card.density < 0.05


def test_a_sensitivity_scan_sets_the_qualities(outputs: Path) -> None:
    plain, _ = pruned(outputs, "prune=han2015")
    card, _ = pruned(outputs, "prune=han2015", "prune.method.sensitivity_drop=0.02")
    assert card.kept == plain.kept
    assert [row.kept for row in card.layers] != [row.kept for row in plain.layers]
    with pytest.raises(InvalidInput, match="add prune/criterion=std_threshold"):
        pruned(outputs, "prune=cubic", "prune.method.sensitivity_drop=0.02")


@pytest.mark.parametrize("regrowth", ["set", "rigl"])
def test_regrowth_keeps_two_of_four(regrowth: str, outputs: Path) -> None:
    always = ["prune.regrowth.every=1", "prune.regrowth.until=1.0", "prune.retraining.epochs=3"]
    _, files = pruned(outputs, "prune=two_to_four", f"prune/regrowth={regrowth}", *always)
    _, still = pruned(outputs, "prune=two_to_four", "prune.retraining.epochs=3")
    masks, _ = load_checkpoint(files.masks)
    others, _ = load_checkpoint(still.masks)
    swapped = {name for name, mask in masks.items() if not torch.equal(mask, others[name])}
    fours = {name for name, mask in masks.items() if mask.shape[1] % 4 == 0}
    assert fours and fours & swapped
    for name in fours:
        assert bool((masks[name].movedim(1, -1).reshape(-1, 4).sum(dim=1) == 2).all()), name


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["prune=channels", "prune/regrowth=rigl"], "RigL cannot regrow channels"),
        (["prune=two_to_four", "prune/allocation=erk"], "cannot be the pattern of"),
        (["prune=two_to_four", "prune.sparsity=0.4"], "aim at a sparsity of 0.5 or more"),
        (["prune=grasp", "prune/allocation=lamp"], "lamp squares the scores"),
        (["prune=cubic", "prune.keep=[clasifier]"], "did you mean classifier"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_anything_is_trained(
    overrides: list[str], words: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=words):
        pruned(tmp_path, *overrides)
    assert not list(tmp_path.rglob("*.safetensors"))
