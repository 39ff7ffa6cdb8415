import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ofa
from ofa.prune.learned import error_times_log_cost, filter_reward, negative_error


def test_rewards_by_hand() -> None:
    assert negative_error(0.9, 1e6) == pytest.approx(-0.1)
    assert error_times_log_cost(0.9, 1000) == pytest.approx(-0.1 * math.log(1000))
    # A drop of half the bound, a quarter of the filters left: 0.5 * log 4.
    assert filter_reward(0.89, baseline=0.9, bound=0.02, remaining=4, filters=16) == pytest.approx(0.5 * math.log(4))
    # Twice the bound: -1 * log 4. Better than the baseline: more than log 4.
    assert filter_reward(0.86, baseline=0.9, bound=0.02, remaining=4, filters=16) == pytest.approx(-math.log(4))
    assert filter_reward(0.92, baseline=0.9, bound=0.02, remaining=4, filters=16) == pytest.approx(2 * math.log(4))
    # No filter left: accuracy 0 with one.
    assert filter_reward(0.9, baseline=0.9, bound=0.02, remaining=0, filters=16) == pytest.approx(-44 * math.log(16))


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.001, 1), st.integers(1, 64))
def test_the_sign_says_whether_the_bound_holds(accuracy: float, baseline: float, bound: float, kept: int) -> None:
    reward = filter_reward(accuracy, baseline, bound, kept, 65)
    assert reward == 0 or (reward > 0) == (baseline - accuracy < bound)
    assert filter_reward(accuracy, baseline, bound, 65, 65) == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ofa.InvalidInput, match="above 0"):
        filter_reward(0.9, 0.9, 0.0, 1, 2)
    with pytest.raises(ofa.InvalidInput, match="3 of 2"):
        filter_reward(0.9, 0.9, 0.1, 3, 2)
    with pytest.raises(ofa.InvalidInput, match="above 1"):
        error_times_log_cost(0.9, 1)
