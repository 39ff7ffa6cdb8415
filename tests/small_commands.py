"""Commands of the pages with less of everything, so that a test can run them: the one place that says how much less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser

FINALISTS = ("search.finalists.candidates=1", "search.finalists.seconds=1", "search.finalists.visits=6")
SEARCH = ("search.evaluations=6", "search.calibration_images=64", *FINALISTS)
TUNING = (
    *("search.evaluations=3", "search.tuning.zero_shot=0", "search.tuning.epochs=1", "search.tuning.rungs=[0]"),
    "search.tuning.finalist_epochs=1",
)
TRAIN = ("train.epochs=1", "train.calibration_images=64", "train.validate_every=1")
# A device of one's own need not name them.
PROFILE = ("++device.profile.anchors=8", "++device.profile.blocks=8", "++device.profile.seconds=2")
EXPORT = ("export.calibration_images=64",)
FINETUNE = ("finetune.epochs=1", "finetune.calibration_images=64")
# By verb, what every command of it gets.
LESS = {
    "run": (*TRAIN, *PROFILE, *SEARCH, *EXPORT),
    "train": TRAIN,
    "profile": PROFILE,
    "search": SEARCH,
    "extract": EXPORT,
    "finetune": (*FINETUNE, *EXPORT),
    "compare": ("visits=6", "repeats=2", "seconds=2", "calibration_images=64"),
    "prune": ("dense.epochs=1", "prune.retraining.epochs=1", *EXPORT),
    "compress": FINETUNE,
    "studio": ("port=0", "sample=40"),
    "dashboard": ("port=0",),
}
STAGES = ("compress.epochs=1", "compress.codebook_epochs=1")
# By a word of a command, what it gets besides.
WITH_WORD = {
    "search=joint": TUNING,
    "search=joint_groups": TUNING,
    "search=joint_int8": TUNING,
    "search=joint_int8_stages": TUNING,
    "finetune=default": FINETUNE,
    "workers=8": ("workers=2",),
    "model=resnet20": ("model.depth=8",),
    "model=vit": ("model.depth=2", "data.dataset.copies=1"),
    "model@teacher.model=resnet56": ("teacher.model.depth=8",),
    "experiment=tiny": ("data.dataset.samples=160",),
    "data=characters": ("data.dataset.limit=20000",),
    "device.profile.sequence=128": ("device.profile.sequence=32",),
}


def key(word: str) -> str:
    """Returns the key that an override sets."""
    return word.partition("=")[0].lstrip("+~")


def less(words: Sequence[str], besides: Mapping[str, Sequence[str]] = WITH_WORD) -> list[str]:
    """Returns a command, from its verb on, with less of everything: a word of it gives way to one of the same key."""
    verb, *overrides = fewer(words)
    added = list(LESS.get(verb, ()))
    if verb == "compress" and not any(key(word) == "compress" for word in overrides):
        added += STAGES
    for word in overrides:
        added += besides.get(word, ())
    kept = {key(word) for word in overrides if word.endswith(("=auto", "=0"))}  # measured, and none at all
    last = {key(word): word for word in added if key(word) not in kept}
    return [verb, *(word for word in overrides if key(word) not in last), *last.values()]


def fewer(words: Sequence[str]) -> list[str]:
    """Returns a command whose first swept key keeps its first and its last value, and any further key its last."""
    if "--multirun" not in words:
        return list(words)
    result, ends = [], (0, -1)
    for word in words:
        choices: list[str] = []
        if "=" in word and not word.startswith("--"):
            (override,) = OverridesParser.create().parse_overrides([word])
            if override.is_sweep_override():
                choices = [str(choice) for choice in override.sweep_string_iterator()]
        if choices:
            word = f"{word.partition('=')[0]}={','.join(choices[end] for end in ends)}"
            ends = (-1,)
        result.append(word)
    return result
