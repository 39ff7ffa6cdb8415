import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa import Arch, Choice, InvalidArch, InvalidInput, Space


def two_stages() -> Space:
    return Space(
        (
            Choice("depth", "a", (1, 2, 3)),
            Choice("depth", "b", (0, 1)),
            Choice("width", "stem", (8, 16)),
            *(Choice("width", f"a.{i}", (8, 16, 24), ((("depth.a", i + 1),),)) for i in range(3)),
            Choice("width", "shared", (4, 8), ((("depth.a", 3),), (("depth.b", 1),))),
            Choice("kernel_size", "b.0", (3, 5), ((("depth.b", 1),),)),
        )
    )


def every(space: Space) -> set[Arch]:
    """All Archs by brute force: every combination of all values, made canonical."""
    import itertools

    keys = [choice.key for choice in space.choices]
    return {
        space.arch(dict(zip(keys, values, strict=True)))
        for values in itertools.product(*(choice.values for choice in space.choices))
    }


def test_size_counts_different_archs_exactly() -> None:
    assert two_stages().size == len(every(two_stages()))


def test_sampling_reaches_every_arch_and_no_other() -> None:
    space, rng = two_stages(), np.random.default_rng(0)
    drawn = {space.sample(rng) for _ in range(20_000)}
    assert drawn == every(space)


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_mutation_and_crossover_stay_in_the_space(seed: int, probability: float) -> None:
    space, rng = two_stages(), np.random.default_rng(seed)
    first, second = space.sample(rng), space.sample(rng)
    child = space.crossover(first, second, rng)
    assert space.contains(space.mutate(first, rng, probability))
    assert space.contains(child)
    both = {**second.values, **first.values}
    for key, value in child.values.items():
        assert value in (first.values.get(key), second.values.get(key)) or key not in both


def test_mutation_of_nothing_changes_nothing_and_seeds_decide() -> None:
    space = two_stages()
    arch = space.sample(np.random.default_rng(1))
    assert space.mutate(arch, np.random.default_rng(2), 0.0) == arch
    changed = [space.mutate(arch, np.random.default_rng(i), 0.5) for i in range(20)]
    assert changed == [space.mutate(arch, np.random.default_rng(i), 0.5) for i in range(20)]
    assert len(set(changed)) > 5


def test_largest_and_smallest() -> None:
    space = two_stages()
    assert space.largest.depth == {"a": 3, "b": 1}
    assert space.smallest.to_dict() == {"width": {"a.0": 8, "stem": 8}, "depth": {"a": 1, "b": 0}}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"width.stem": 12}, "width.stem=12 is not one of 8, 16; the nearest is 8"),
        ({"width.stm": 8}, "did you mean width.stem"),
        ({"width.a.2": 8}, "deepen depth.a to 3"),
        ({"width.stem": None}, "width.stem is missing; its choices are 8, 16"),
    ],
)
def test_errors_name_value_rule_and_nearest(change: dict[str, int | None], part: str) -> None:
    space = two_stages()
    values = {**space.smallest.values, **change}
    kinds: dict[str, dict[str, int]] = {}
    for key, value in values.items():
        if value is not None:
            kind, _, name = key.partition(".")
            kinds.setdefault(kind, {})[name] = value
    arch = Arch.from_dict(kinds)
    assert not space.contains(arch)
    with pytest.raises(InvalidArch, match=part) as caught:
        space.validate(arch)
    assert "\n" not in str(caught.value)


def test_encoding_is_zero_where_inactive() -> None:
    space = two_stages()
    rows = space.encode([space.smallest, space.largest])
    assert rows.tolist() == [[1, 0, 8, 8, 0, 0, 0, 0], [3, 1, 16, 24, 24, 24, 8, 5]]
    assert space.encode([]).shape == (0, 8)


def test_digest_follows_the_choices() -> None:
    assert two_stages().digest == two_stages().digest
    assert Space(two_stages().choices[:-1]).digest != two_stages().digest


@pytest.mark.parametrize("values", [(), (8, 8), (16, 8), (-1, 2)])
def test_choice_values_are_checked(values: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match="ascending"):
        Choice("width", "a", values)


def test_a_choice_comes_after_the_depths_it_needs() -> None:
    width = Choice("width", "a", (1, 2), ((("depth.a", 1),),))
    with pytest.raises(InvalidInput, match=r"width\.a"):
        Space((width, Choice("depth", "a", (1, 2))))
