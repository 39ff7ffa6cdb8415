"""A request of a search and its trained supernet, for the tests of this room."""

from tests.search.subnets.steady import fixture_of_request, fixture_of_trained

__all__ = ["fixture_of_request", "fixture_of_trained"]
