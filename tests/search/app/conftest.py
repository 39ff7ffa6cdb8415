"""What every test of this folder gets, and the runs that several of them look at, each made once."""

from tests.search.app.pruned_run import pruned, pruned_copy
from tests.search.app.remote_run import remote_copy, remote_run
from tests.search.app.tiny_run import tiny_copy, tiny_run
from tests.search.steady_device import _the_device_is_steady

__all__ = [
    "_the_device_is_steady",
    "pruned",
    "pruned_copy",
    "remote_copy",
    "remote_run",
    "tiny_copy",
    "tiny_run",
]
