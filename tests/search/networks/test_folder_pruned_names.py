"""Names of folders: readable, the same for the same command, another one for another."""

from __future__ import annotations

import pytest

from ofa.errors import InvalidInput
from search.networks.folder import LONGEST, dense_name, name_from, network_label, pruned_name

CONFIG = {
    "model": {"_target_": "ofa.models.LeNet300", "hidden": [300, 100]},
    "data": {"dataset": {"_target_": "ofa.data.hub", "name": "mnist"}},
    "seed": 0,
}


def test_labels_name_model_and_data() -> None:
    assert network_label(CONFIG) == "lenet300-mnist"
    assert network_label({"model": {"_target_": "Net"}, "data": {"dataset": {"_target_": "x.my_set"}}}) == "net-my_set"


def test_dense_networks_of_other_settings_have_other_names() -> None:
    other = CONFIG | {"seed": 1}
    assert dense_name(CONFIG) == dense_name(dict(CONFIG)) != dense_name(other)
    assert dense_name(CONFIG).startswith("lenet300-mnist-")


def test_a_name_says_what_was_set_and_not_where_it_goes() -> None:
    overrides = ["seed=1", "prune/criterion=taylor", "prune.sparsity=0.95", "run=x", "model=lenet300", "prune=cubic"]
    expected = "lenet300-mnist-cubic_sparsity=0.95_criterion=taylor_seed=1"
    assert name_from("lenet300-mnist", "cubic", overrides) == expected
    assert name_from("lenet300-mnist", "cubic", overrides[::-1]) == expected
    assert name_from("lenet300-mnist", "cubic", ["outputs=/a/b", "force=true", "threads=2"]) == "lenet300-mnist-cubic"


def test_odd_characters_do_not_reach_the_file_system() -> None:
    name = name_from("net-data", "cubic", ["model.hidden=[3,4]", "+prune.x={a: '/etc'}"])
    assert name == "net-data-cubic_x=-a-etc_model.hidden=-3-4" or "/" not in name
    assert not set(name) & set("/\\[]{}'\" :,")


def test_long_names_stay_apart() -> None:
    first, second = (name_from("n", "cubic", [f"prune.keep=[{'layer,' * 50}{n}]"]) for n in (1, 2))
    assert len(first) == len(second) == LONGEST
    assert first != second


def test_given_names() -> None:
    assert pruned_name("mine", "label", CONFIG) == "mine"
    assert pruned_name(None, "label", CONFIG).startswith("label-")  # outside of Hydra: a digest
    for wrong in ("", "..", "a/b"):
        with pytest.raises(InvalidInput, match="must be a plain name"):
            pruned_name(wrong, "label", CONFIG)
