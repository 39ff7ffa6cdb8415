"""Every key of every verb given what it cannot be: a line with its full name, before anything is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from msgspec import inspect
from msgspec.structs import replace
from omegaconf import DictConfig, OmegaConf

from ofa.errors import InvalidInput
from search.app.main import VERBS
from search.config.arguments import accepts, words
from search.config.read import checked, converted, read_request
from search.config.rules import Count, ShareAboveZero, Target, Text, keys_of, rule_text, type_at
from search.config.search import SearchOptions, SearchRequest
from search.config.tuning import Data, Retraining, Tuning
from search.config.verbs import REQUESTS
from search.run.paths import conf_dir
from search.run.stages import hash_of

# The configurations whose keys are walked: every verb, and the options of groups that have keys of their own.
CONFIGS = {
    **{verb: [verb] for verb in VERBS},
    "joint search": ["search", "search=joint"],
    "joint search of groups": ["search", "search=joint_groups"],
    "joint search of precisions": ["search", "search=joint_int8"],
    "joint search of precisions by stage": ["search", "search=joint_int8_stages"],
    "tiny run": ["run", "experiment=tiny", "train=progressive", "model=mobilenet"],
    "parquet": ["train", "data=parquet", "data.dataset.path=x", "train=single", "space=kernels"],
    "transformed kernels": ["train", "model=mobilenet", "space=kernel_transforms"],
    "image folder": ["train", "data=imagefolder", "data.dataset.path=x", "data/augment=rand_augment", "model=lenet5"],
    "synthetic": ["train", "data=synthetic", "model=lenet300"],
    **{f"compress {name}": ["compress", f"compress={name}"] for name in ("code_only", "low_rank")},
    **{f"device {name}": ["profile", f"device={name}"] for name in ("cuda", "openvino", "ncnn", "compile", "pi5")},
    **{f"sampler {name}": ["search", f"sampler={name}"] for name in ("tpe", "evolution", "nsga2", "amc", "gp")},
    **{
        f"prune {name}": ["prune", f"prune={name}"]
        for name in ("amc", "filter_policy", "lottery", "rigl", "set", "blocks", "channels", "group_lasso", "movement")
    },
}
WRONG = {
    "text": "three",
    "fraction": 1.5,
    "negative": -1,
    "switch": True,
    "list": [1, "a"],
    "mapping": {"a": 1},
    "null": None,
    "huge": 10**30,
    "not finite": float("nan"),
}
# What can be no value of a key, by what it usually is.
NEVER = {
    bool: ("text", "fraction", "negative", "list", "mapping"),
    int: ("text", "switch", "mapping", "not finite"),
    float: ("text", "switch", "mapping", "not finite"),
    str: ("mapping", "fraction"),
}
ELSEWHERE = ("latency_ms", "search.parameters")  # looked at by functions of their own


@pytest.fixture(scope="module")
def configs() -> Iterator[Mapping[str, DictConfig]]:
    with initialize_config_dir(str(Path(conf_dir()).resolve()), version_base="1.3"):
        yield {name: compose(verb, overrides) for name, (verb, *overrides) in CONFIGS.items()}
    GlobalHydra.instance().clear()


def leaves(value: Any, key: str = "", called: bool = False) -> Iterator[tuple[str, Any, bool]]:
    """Every key that holds no mapping, its value, and whether it is an argument of a `_target_`."""
    if not isinstance(value, dict) or not value:
        yield key, value, called
        return
    for name, inner in value.items():
        if name not in ("_target_", "_partial_"):
            yield from leaves(inner, f"{key}.{name}" if key else str(name), called or "_target_" in value)


def test_what_is_shipped_is_as_it_must_be(configs: Mapping[str, DictConfig]) -> None:
    for name, config in configs.items():
        assert read_request(config, REQUESTS[CONFIGS[name][0]]).outputs == "outputs"


def test_every_key_has_a_type(configs: Mapping[str, DictConfig]) -> None:
    untyped = set()
    for name, config in configs.items():
        kind = inspect.type_info(REQUESTS[CONFIGS[name][0]])
        for key, value, called in leaves(OmegaConf.to_container(config)):
            parts = key.split(".")
            if called or value == {} or key.startswith(ELSEWHERE):
                continue
            if isinstance(type_at(kind, parts), inspect.StructType) or not keys_of(type_at(kind, parts[:-1])):
                untyped.add(key)
    assert not untyped


def test_a_search_made_in_python_is_that_of_the_command(configs: Mapping[str, DictConfig]) -> None:
    read = read_request(configs["search"], SearchRequest)
    assert replace(read, unresolved=None) == SearchRequest()
    assert checked(SearchRequest(latency_ms=4, search=SearchOptions(evaluations=3))).latency == (4.0,)
    with pytest.raises(InvalidInput, match=r"search\.evaluations=0 must be a whole number, at least 1"):
        checked(SearchRequest(search=SearchOptions(evaluations=0)))


def test_what_decides_a_search_is_a_function_of_what_is_asked(configs: Mapping[str, DictConfig]) -> None:
    for name in ("search", "joint search"):
        read = read_request(configs[name], SearchRequest)
        decides = read.decides
        assert hash_of(decides) == hash_of(read_request(configs[name], SearchRequest).decides)
        assert replace(read, run="other", workers=3, force=True, threads=2, unresolved=None).decides == decides
        more = replace(read, search=replace(read.search, evaluations=999, artifacts=False))
        assert more.decides == decides
        for other in (replace(read, seed=1), replace(read, search=replace(read.search, refusals=11))):
            assert hash_of(other.decides) != hash_of(decides)


def test_every_key_refuses_what_it_cannot_be_by_its_full_name(configs: Mapping[str, DictConfig]) -> None:
    done = set()
    for config_name, config in configs.items():
        resolved: Any = OmegaConf.to_container(config, resolve=True)
        for key, value, _ in leaves(resolved):
            if key in done or key.startswith(ELSEWHERE) or key.rpartition(".")[2].isdigit():
                continue
            done.add(key)
            for name, wrong in WRONG.items():
                said = refusal(CONFIGS[config_name][0], with_value(resolved, key.split("."), wrong))
                if said is None:
                    assert name not in NEVER.get(type(value), ()), (key, value, wrong)
                else:
                    starts = (f"{key}=", f"{key}.a=", f"{key}.a is unknown", "storage is not an address")
                    assert said.startswith(starts), (key, said)
                    assert "\n" not in said and len(said) < 300
    assert len(done) > 150


def with_value(values: dict[str, Any], keys: Sequence[str], value: Any) -> dict[str, Any]:
    """The values with another one at a key."""
    first, *rest = keys
    return {**values, first: with_value(values[first], rest, value) if rest else value}


def refusal(verb: str, values: dict[str, Any]) -> str | None:
    try:
        converted(values, REQUESTS[verb])
    except InvalidInput as error:
        return str(error)
    return None


def test_types_of_arguments() -> None:
    made = {"_target_": "mine.act"}
    for hint, good, bad in (
        (int, [1, -3], [1.0, True, "1", None, [1], 2**70]),
        (float | None, [1, 0.5, None], [True, "1", [1], float("inf")]),
        (Literal["a", "b"], ["a"], ["c", 1]),
        (Sequence[int], [[], [1, 2], made], [[1.5], 3, "ab", {"a": 1}]),
        (tuple[float, float], [[0.1, 2]], [["a", 1]]),
        (Mapping[str, Sequence[int]], [{"a": [1]}, {}], [{"a": 1}, [1], 3]),
        (Callable[[int], int], [made], [3, "relu", None]),
        (Any, [1, None, "a"], []),
    ):
        assert [value for value in good if not accepts(hint, value)] == [], words(hint)
        assert [value for value in bad if accepts(hint, value)] == [], words(hint)
    assert words(float | None) == "a number or null"


def test_a_rule_in_words() -> None:
    for kind, text in (
        (ShareAboveZero | None, "a number, more than 0 and at most 1, or null"),
        (tuple[Count, ...], "a list of whole numbers, each at least 1"),
        (Text | tuple[Text, ...], "text or a list of texts"),
        (Target, "a mapping with _target_, or one of the group's options"),
    ):
        assert rule_text(inspect.type_info(kind)) == text


def test_missing_keys_are_named_with_their_rule() -> None:
    for kind, values, said in (
        (Retraining, {}, "prune.retraining.epochs has to be given: a whole number, at least 1"),
        (Data, {}, "prune.retraining.dataset has to be given: a mapping with _target_, or one of the group's options"),
    ):
        with pytest.raises(InvalidInput) as error:
            converted(values, kind, "prune.retraining")
        assert str(error.value) == said
    assert (refusal("train", {"model": {"_target_": "x"}}) or "").startswith("data has to be given: a mapping, with")


def test_groups_with_free_names_are_looked_at_key_by_key() -> None:
    group = {"match": ["stem.*"], "precision": "int8"}
    for wrong, said in (
        ({**group, "match": "stem"}, "b.match='stem' must be globs of layers, such as [stages.0.*]"),
        ({**group, "match": []}, "b.match=[] must be globs of layers, such as [stages.0.*]"),
        ({**group, "precision": "int4"}, "b.precision='int4': did you mean int8?"),
        ({**group, "bits": 8}, "b.bits is unknown; choices: match, precision"),
        ({"match": ["stem.*"]}, "b.precision has to be given: one of float32, int8"),
        (8, "b=8 must be a mapping, with match and so on"),
    ):
        with pytest.raises(InvalidInput) as error:
            converted({"precisions": {"a": group, "b": wrong, "c": wrong}}, Tuning, "search.tuning")
        assert str(error.value) == f"search.tuning.precisions.{said}"
    tuning = converted({"precisions": {"a": group, "b": {**group, "precision": "float32"}}}, Tuning)
    assert tuning.groups == {"a": ("stem.*",), "b": ("stem.*",)} and tuning.groups_in_int8 == ("a",)


def test_unknown_keys_are_named_with_the_nearest() -> None:
    for values, said in (
        ({"search": {"evaluatons": 3}}, "search.evaluatons is unknown; did you mean evaluations"),
        (
            {"search": {"limits": {"latency_ms": 4}}},
            "search.limits.latency_ms=4 is not a key of search.limits: give lat",
        ),
        ({"device": {"profile": {"anchor": 3}}}, "device.profile.anchor is unknown; did you mean anchors"),
    ):
        assert (refusal("search", values) or "").startswith(said)
