"""The stages of one compression in order, each judged and its bytes counted; an interrupted one goes on."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint
from ofa.compress import FileSizes, SharedTensor, Sharing, coded_sizes
from ofa.errors import InvalidInput
from ofa.records import content_of, convert
from search import compression
from search.compression.compressed import Compressed, Stage, StageContext, clean_
from search.networks.compressed_file import factored
from search.run.compressed_cards import CompressedFolder, SizeRow, StageRow, StageState
from search.run.progress import say
from search.training.judging import Judged, gain_of, judged, scores_of

START = "start"  # the row of the network as it was


@dataclass(frozen=True)
class NamedStage:
    """A stage and its name in tables: that of its function."""

    name: str
    function: Stage


def rehearse(begin: Compressed, stages: Sequence[NamedStage], context: StageContext) -> None:
    """Runs all stages without training, so that what cannot be is said before anything long.

    Raises:
        InvalidInput: settings that do not fit the network or each other.
    """
    compressed, trial = begin, replace(context, rehearsal=True)
    for number, stage in enumerate(stages):
        try:
            compressed = checked(stage, stage.function(compressed, trial))
        except InvalidInput as error:
            raise InvalidInput(f"compress.stages.{number} ({stage.name}): {error}") from None


def checked(stage: NamedStage, result: object) -> Compressed:
    """Returns what a stage returned, ready to be judged.

    Raises:
        InvalidInput: it is no `Compressed`.
    """
    if not isinstance(result, Compressed):
        raise InvalidInput(
            f"the stage {stage.name} returned a {type(result).__name__}; a stage takes (compressed, context) and "
            "returns a search.compression.compressed.Compressed"
        )
    return clean_(result)


def run_stages(
    begin: Compressed,
    stages: Sequence[NamedStage],
    context: StageContext,
    files: CompressedFolder,
    before: Judged,
    tell: Callable[[int, str], None],
) -> tuple[Compressed, tuple[StageRow, ...]]:
    """Returns the network after all stages, and a row for each, the first for the network as it was.

    Args:
        before: what is known of the network as it was.
        tell: is called with the number of stages that are done, and the name of the next.
    """
    if files.state.is_file():
        compressed, rows = read_state(begin, files.state)
        say(f"compress: {files.root}: goes on after {rows[-1].stage}")
    else:
        compressed = clean_(begin.copied())
        rows = (row_of(START, compressed, coded_sizes(compressed.tensors), before, 0.0),)
    for number in range(len(rows) - 1, len(stages)):
        stage = stages[number]
        tell(number, stage.name)
        started = time.perf_counter()
        compressed = checked(stage, stage.function(compressed, context))
        outcome, sizes = judged(compressed.network, context.data, context.task), coded_sizes(compressed.tensors)
        rows = (*rows, row_of(stage.name, compressed, sizes, outcome, time.perf_counter() - started, before))
        write_state(compressed, rows, files.state)
        context.checkpoint.unlink(missing_ok=True)
    return compressed, rows


def row_of(
    name: str, compressed: Compressed, sizes: FileSizes, outcome: Judged, seconds: float, before: Judged | None = None
) -> StageRow:
    """Returns the row of a stage: the scores of what it left, and the bytes of its file if it were written now.

    Args:
        before: what is known of the network as it was; None: it is that.
    """
    return StageRow(
        stage=name,
        density=compressed.density,
        bytes=sizes.total,
        head=sizes.header + sizes.card,
        tensors=tuple(
            SizeRow(
                name=tensor,
                numbers=values.numel(),
                kept=int(values.count_nonzero()),
                positions=sizes.tensors[tensor].positions,
                values=sizes.tensors[tensor].values,
                tables=sizes.tensors[tensor].tables,
                rest=sizes.tensors[tensor].rest,
                how=sizes.tensors[tensor].how,
            )
            for tensor, values in compressed.tensors.items()
        ),
        scores=scores_of(outcome),
        seconds=seconds,
        gain=None if before is None else gain_of(outcome, before),
    )


_PARTS = ("weight", "mask", "codebook", "indices")


def write_state(compressed: Compressed, rows: Sequence[StageRow], path: Path) -> None:
    """Writes what the next stage needs."""
    shared: Mapping[str, SharedTensor] = {} if compressed.sharing is None else compressed.sharing.tensors
    tensors = {f"weight/{name}": tensor for name, tensor in compressed.tensors.items()}
    tensors |= {f"mask/{name}": mask for name, mask in compressed.masks.items()}
    tensors |= {f"codebook/{name}": tensor.codebook for name, tensor in shared.items()}
    tensors |= {f"indices/{name}": tensor.indices for name, tensor in shared.items()}
    state = StageState(
        rows=tuple(rows),
        factors=compressed.factors,
        steps={name: tensor.step for name, tensor in shared.items()},
    )
    save_checkpoint(path, tensors, content_of(state))


def read_state(begin: Compressed, path: Path) -> tuple[Compressed, tuple[StageRow, ...]]:
    """Returns what `write_state` wrote, in a network of the same class as `begin`'s.

    Raises:
        InvalidInput: the file is damaged, or of another network.
    """
    tensors, meta = load_checkpoint(path)
    state: StageState = convert(meta, StageState, f"{path} is damaged")
    parts: dict[str, dict[str, Tensor]] = {part: {} for part in _PARTS}
    for full, tensor in tensors.items():
        part, _, name = full.partition("/")
        parts.setdefault(part, {})[name] = tensor
    network = begin.copied().network
    for factors in state.factors:
        network = factored(network, factors)
    load_weights(network, parts["weight"], str(path))
    shared = {
        name: SharedTensor(codebook, parts["indices"][name], state.steps.get(name))
        for name, codebook in parts["codebook"].items()
    }
    compressed = Compressed(
        network=network.eval(),
        masks=parts["mask"],
        sharing=Sharing(shared) if shared else None,
        factors=state.factors,
    )
    return compressed, state.rows


def named_stages(configs: Sequence[Mapping[str, Any]], make: Callable[[str, Any], Any]) -> list[NamedStage]:
    """Returns the stages of a recipe.

    Args:
        configs: the list of the configuration.
        make: makes the function of one, given its key, see `search.objects.make_partial`.

    Raises:
        InvalidInput: a function that does not take a network and a context, or arguments that it has not.
    """
    stages = []
    for number, config in enumerate(configs):
        key, target = f"compress.stages.{number}", str(config["_target_"])
        function = make(key, config)
        try:
            inspect.signature(function).bind(None, None)
        except TypeError as error:
            raise InvalidInput(
                f"{key} ({target}) is no stage, a function of (compressed, context) and arguments of its own: {error}; "
                f"those of search.compression are {', '.join(compression.__all__)}"
            ) from None
        stages.append(NamedStage(target.rpartition(".")[2].strip("_"), function))
    return stages
