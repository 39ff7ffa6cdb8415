"""What a training begins with: functions that fill a model with weights, and say where they come from.

Each takes the model first, fills it in place or raises and changes nothing, and returns a `StartRecord`.
"""

from ofa.start._checkpoint import checkpoint
from ofa.start._supernet import supernet
from ofa.start._timm import timm
from ofa.start._transformers import transformers
from ofa.start.record import StartRecord, filled_from

__all__ = ["StartRecord", "checkpoint", "filled_from", "supernet", "timm", "transformers"]
