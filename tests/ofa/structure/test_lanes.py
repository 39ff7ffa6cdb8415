import torch

from ofa.structure import lanes


def test_a_lane_varies_only_where_its_labels_change() -> None:
    lane = lanes.along(torch.arange(4), 1, (2, 4, 3, 3))
    assert lane.shape == (2, 4, 3, 3)
    assert lanes.varying(lane) == (1,)
    assert lanes.varying(lane.transpose(0, 1)) == (0,)


def test_copied_lanes_are_tidied() -> None:
    lane = lanes.along(torch.arange(4), 1, (2, 4, 3, 3)).reshape(2, 36)
    assert lanes.varying(lane) == (0, 1)
    assert lanes.varying(lanes.tidy(lane)) == (1,)
    assert lanes.compact(lane).shape == (1, 36)
    assert lanes.compact(lane)[0].tolist() == [i for i in range(4) for _ in range(9)]


def test_a_lane_whose_first_two_labels_are_equal_is_looked_through() -> None:
    lane = torch.tensor([5, 5, 6]).repeat(4, 1)
    assert lanes.compact(lane).tolist() == [[5, 5, 6]]
    assert lanes.compact(torch.tensor([[5, 5, 5]])).tolist() == [[5]]


def test_a_vector_is_read_off_unless_labels_vary_elsewhere() -> None:
    lane = lanes.along(torch.arange(4), 2, (2, 3, 4))
    assert lanes.vector(lane, 2).tolist() == [0, 1, 2, 3]
    assert lanes.vector(lane, -1).tolist() == [0, 1, 2, 3]
    assert lanes.vector(torch.arange(12).view(1, 3, 4), 2) is None


def test_pairs_are_distinct_and_broadcast() -> None:
    first = lanes.along(torch.tensor([1, 2]), 1, (5, 2, 7))
    second = lanes.along(torch.tensor([3, 4]), 1, (1, 2, 1))
    assert lanes.pair(first, second).tolist() == [[1, 3], [2, 4]]
    crossed = lanes.pair(torch.tensor([[1], [2]]), torch.tensor([[3, 4]]))
    assert sorted(crossed.tolist()) == [[1, 3], [1, 4], [2, 3], [2, 4]]
