"""A start from another supernet's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from ofa.checkpoint import load_checkpoint
from ofa.errors import InvalidInput
from ofa.kernel_transforms import is_kernel_transform
from ofa.start.record import StartRecord, filled_from
from ofa.weights_file import weight_files


def supernet(model: nn.Module, folder: str, ignore: Sequence[str] = ()) -> StartRecord:
    """Returns the record of a start from a trained supernet's weights, after filling `model` in place.

    The largest subnet is the network itself, so its weights are those of the supernet. Transforms between kernel sizes
    belong to no network and are left out.

    Args:
        model: made as the supernet's was.
        folder: of a run, of its supernet, of an extracted subnet, or one that `ofa.save` wrote.
        ignore: see `ofa.start.checkpoint`.

    Raises:
        InvalidInput: a folder without a supernet, a damaged file, or one of another network.
    """
    files = weight_files(folder)
    if len(files) != 1 or files[0].suffix != ".safetensors":
        raise InvalidInput(
            f"{folder} holds {files[0].name}, which is no supernet of this toolkit: use start=checkpoint"
        )
    tensors, _ = load_checkpoint(files[0])
    transforms = tuple(name for name in tensors if is_kernel_transform(name))
    record = filled_from(
        model, {name: tensor for name, tensor in tensors.items() if name not in transforms}, folder, ignore
    )
    return replace(record, ignored=(*record.ignored, *transforms))
