"""Each chosen subnet once, with all that it was chosen for, from searches of one device and of several."""

from __future__ import annotations

import pytest
from msgspec import structs

from search.subnets.chosen import Purpose, chosen_subnets, latency_limits
from tests.search.subnets.comparisons import MIDDLE, SEARCHES, THIN, WIDE, found, found_together


def test_a_subnet_of_two_searches_is_there_once() -> None:
    subnets = chosen_subnets(SEARCHES)
    assert [subnet.arch for subnet in subnets] == [WIDE, MIDDLE, THIN]
    middle = subnets[1]
    assert middle.devices == ("laptop", "phone")
    assert middle.scores is not None and middle.scores["accuracy"].value == pytest.approx(0.97)
    assert middle.purposes == (
        Purpose("laptop", ("laptop",), {"laptop": 4.1}, {"laptop": 4.1 / 8}, {}),
        Purpose("phone", ("phone",), {"phone": 48.0}, {"phone": 0.48}, {}),
    )


def test_a_search_of_several_devices_has_a_limit_on_each() -> None:
    (subnet,) = chosen_subnets({"both": found_together({"laptop": 6.6, "phone": 30.0}, THIN)})
    assert subnet.devices == ("laptop", "phone")
    (purpose,) = subnet.purposes
    assert purpose.limits_ms == {"laptop": 6.6, "phone": 30.0}
    assert purpose.of_largest == {"laptop": pytest.approx(6.6 / 8), "phone": pytest.approx(0.3)}
    assert purpose.others == {}


def test_limits_of_other_figures_are_apart_and_latency_may_have_none() -> None:
    content = found("laptop", {2.1: WIDE}, params=1e6)
    (subnet,) = chosen_subnets({"laptop": content})
    assert subnet.purposes[0].others == {"params": 1e6}
    without = structs.replace(content.finalists[0], target={"params": 1e6})
    content = structs.replace(content, finalists=(without,))
    (subnet,) = chosen_subnets({"laptop": content})
    assert (subnet.devices, subnet.purposes[0].limits_ms) == (("laptop",), {})


def test_limits_of_a_device_are_those_of_all_its_searches() -> None:
    subnets = chosen_subnets({**SEARCHES, "both": found_together({"laptop": 6.6, "phone": 30.0}, THIN)})
    assert latency_limits(subnets, "laptop") == (2.1, 4.1, 6.6)
    assert latency_limits(subnets, "phone") == (25.0, 30.0, 48.0)
    assert latency_limits(subnets, "watch") == ()
