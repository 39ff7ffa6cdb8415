"""One tensor stands for what a network returns: its only one, its logits, or all side by side."""

from __future__ import annotations

import torch

from search.networks.answer import answer_of


def test_a_tensor_and_what_is_named_logits_are_the_answer() -> None:
    logits, other = torch.randn(2, 3), torch.randn(2, 4)
    assert answer_of(logits, 2) is logits and answer_of([logits], 2) is logits
    assert answer_of({"hidden": other, "logits": logits}, 2) is logits


def test_several_maps_stand_side_by_side_for_each_example() -> None:
    fine, coarse, constant = torch.randn(2, 5, 4, 4), torch.randn(2, 5, 2, 2), torch.randn(7)
    answer = answer_of((fine, coarse, constant), 2)
    assert answer.shape == (2, 1, 5 * 16 + 5 * 4)
    assert torch.equal(answer[1, 0], torch.cat([fine[1].flatten(), coarse[1].flatten()]))
