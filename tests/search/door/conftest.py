"""What every test of this folder gets."""

from tests.search.steady_device import _the_device_is_steady

__all__ = ["_the_device_is_steady"]
