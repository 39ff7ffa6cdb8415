"""Refine: the best candidates of a search fine-tuned to the end, and kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from ofa.arch import Arch
from ofa.checkpoint import load_checkpoint, load_weights, save_checkpoint, weights
from ofa.evaluate import evaluate
from ofa.paths import read_json, write_json
from ofa.train.digest import digest_of
from search.candidate import Candidate
from search.finalists import candidates_for
from search.limits import Target
from search.paths import PrunedFolder, SearchFolder
from search.trained import Trained
from search.trials import TrialRow
from search.tuning.tune import Tuned, longer
from search.tuning.tuner import Tuner

Show = Callable[[int, int, str], None]


def refined_rows(
    rows: Sequence[TrialRow],
    targets: Sequence[Target],
    tuner: Tuner,
    trained: Trained,
    files: SearchFolder,
    *,
    latencies: Sequence[str],
    top: int,
    epochs: int,
    show: Show,
) -> list[TrialRow]:
    """Returns the `top` rows of every target with accuracy and bytes as they are after `epochs` of fine-tuning.

    Each network is kept in a folder of the search; what is there is not made again, and what was cut off goes on.
    """
    chosen = {row.candidate: row for target in targets for row in candidates_for(rows, target, latencies)[:top]}
    found = []
    for number, (candidate, row) in enumerate(chosen.items()):
        assert candidate is not None  # candidates_for has seen to it

        def follow(state: Mapping[str, object], number: int = number) -> None:
            show(number, len(chosen), f"epoch {state['epoch']} of {epochs}")

        card = refined(candidate, tuner, trained, files, epochs, follow)
        figures = {**row.figures, "bytes": float(card["bytes"])}
        found.append(replace(row, accuracy=float(card["validation"]), figures=figures))
    return found


def refined(
    candidate: Candidate,
    tuner: Tuner,
    trained: Trained,
    files: SearchFolder,
    epochs: int,
    follow: Callable[[Mapping[str, object]], None] | None = None,
) -> dict[str, float]:
    """Returns the card of a candidate fine-tuned to the end: "validation" and "test" accuracy, "bytes", "density"."""
    settings = longer(tuner.settings(candidate), epochs)
    folder = files.tuned(tuner.digest(candidate, settings))
    if not folder.card.is_file():
        tuned = tuner.tune(candidate, settings, checkpoint=folder.checkpoint, progress=follow)
        _save(tuned, candidate, trained, folder)
    card: dict[str, float] = read_json(folder.card)
    return card


def load_refined(arch: Arch, trained: Trained, folder: PrunedFolder) -> tuple[nn.Module, dict[str, Tensor]]:
    """Returns the network that `refined` kept, and its masks by name.

    Raises:
        InvalidInput: its files are damaged, or of another network.
    """
    net = trained.supernet.extract(arch)
    load_weights(net, load_checkpoint(folder.weights)[0], str(folder.weights))
    return net.eval(), load_checkpoint(folder.masks)[0]


def find_refined(candidate: Candidate, files: SearchFolder) -> PrunedFolder | None:
    """Returns the folder of a candidate that a search kept, None where it was not among the best."""
    for path in sorted(files.tuned("any").root.parent.glob("*/card.json")):
        if Candidate.from_dict(read_json(path)) == candidate:
            return PrunedFolder(path.parent)
    return None


def _save(tuned: Tuned, candidate: Candidate, trained: Trained, folder: PrunedFolder) -> None:
    """Writes weights, masks and history, and last the card, which says that they are whole."""
    assert tuned.model is not None  # no gate ended it
    digest = digest_of(tuned.model)
    save_checkpoint(folder.weights, weights(tuned.model), {"digest": digest})
    save_checkpoint(folder.masks, tuned.masks, {"digest": digest})
    write_json(folder.history, [dict(row) for row in tuned.history])
    card = {
        **candidate.to_dict(),
        "digest": digest,
        "validation": tuned.accuracy,
        "test": evaluate(tuned.model, trained.data.test.in_order()),
        "bytes": tuned.bytes,
        "density": tuned.density,
        "seconds": tuned.seconds,
    }
    write_json(folder.card, card)
    folder.checkpoint.unlink(missing_ok=True)
