"""What this machine is: see `search.device.standalone.machine`, which also runs on other devices."""

from search.device.standalone.machine import describe_machine

__all__ = ["describe_machine"]
