import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ofa import Arch, Choice, InvalidArch, InvalidInput, Space
from ofa.choice import ALWAYS, Conditions
from tests.ofa.nets import shipped


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


def test_every_arch_comes_once() -> None:
    archs = list(two_stages().every())
    assert len(archs) == two_stages().size
    assert set(archs) == every(two_stages())


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
        ({"width.a.2": 8}, "set depth.a to 3"),
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


@st.composite
def made_up(draw: st.DrawFn) -> Space:
    """A few stages with widths, some shared and some of a single value, and kernel sizes."""
    values = st.lists(st.integers(1, 12).map(lambda n: 2 * n), min_size=1, max_size=3, unique=True).map(sorted)
    depths = [
        Choice("depth", f"s{i}", tuple(range(draw(st.integers(0, 1)), 3))) for i in range(draw(st.integers(1, 2)))
    ]
    gates: list[Conditions] = [ALWAYS, *(((("depth." + depth.name, 1),),) for depth in depths)]
    gates.append(tuple((("depth." + depth.name, 2),) for depth in depths))
    widths = [
        Choice("width", f"w{i}", tuple(draw(values)), draw(st.sampled_from(gates)))
        for i in range(draw(st.integers(1, 4)))
    ]
    return Space((*depths, *widths, Choice("kernel_size", "k", (3, 5), draw(st.sampled_from(gates)))))


def is_aligned(arch: Arch, space: Space, multiple: int) -> bool:
    return all(
        width % multiple == 0 or width == space.by_key[f"width.{name}"].values[-1] for name, width in arch.width.items()
    )


@settings(max_examples=60, deadline=None)
@given(made_up(), st.sampled_from([1, 2, 4, 6, 8, 16]))
def test_an_aligned_space_has_exactly_the_archs_with_aligned_or_largest_widths(space: Space, multiple: int) -> None:
    aligned = space.aligned(multiple)
    wanted = {arch for arch in every(space) if is_aligned(arch, space, multiple)}
    assert every(aligned) == wanted
    assert aligned.size == len(wanted)
    assert all(space.contains(arch) for arch in wanted)
    assert {arch for arch in every(space) if aligned.contains(arch)} == wanted
    assert aligned.largest == space.largest
    assert [(choice.key, choice.active_when) for choice in aligned.choices] == [
        (c.key, c.active_when) for c in space.choices
    ]
    assert aligned.aligned(multiple) == aligned
    assert (aligned.digest == space.digest) == (len(wanted) == space.size)


@pytest.mark.parametrize("name", ["lenet5", "resnet20_conv", "mobilenet"])
def test_real_spaces_are_aligned(name: str) -> None:
    space = shipped(name)[0].space  # in multiples of 4
    assert space.aligned(1) == space.aligned(4) == space
    rng = np.random.default_rng(0)
    sizes = [space.size]
    for multiple in (8, 16, 512):
        aligned = space.aligned(multiple)
        sizes.append(aligned.size)
        archs = [aligned.sample(rng) for _ in range(50)]
        archs += [aligned.mutate(archs[0], rng, 0.5), aligned.crossover(archs[0], archs[1], rng), aligned.smallest]
        assert all(space.contains(arch) and is_aligned(arch, space, multiple) for arch in archs)
        assert aligned.contains(space.largest)
        assert aligned.encode(archs).tolist() == space.encode(archs).tolist()
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] < sizes[0]


@pytest.mark.parametrize("multiple", [0, -4])
def test_an_alignment_is_at_least_one(multiple: int) -> None:
    with pytest.raises(InvalidInput, match=f"multiples of {multiple}"):
        two_stages().aligned(multiple)
