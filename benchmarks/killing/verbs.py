"""The sequences of commands that are killed: small runs of every verb, each from what the verbs before it leave."""

from __future__ import annotations

from dataclasses import dataclass

RUN = ["run=tiny", "trust=[benchmarks]"]
DEVICE = [
    "device.name=simulated",
    "device.runtime._target_=benchmarks.killing.simulated_device.SimulatedDevice",
    *("device.profile.anchors=8", "device.profile.blocks=8", "device.profile.visits=4", "device.profile.repeats=2"),
]
TRAIN = ["train", *RUN, "experiment=tiny", "train.epochs=2", "train.validate_every=1", "data.dataset.samples=240"]
PROFILE = ["profile", *RUN, *DEVICE]
SEARCH = [
    *("search", *RUN, *DEVICE, "search.calibration_images=32", "search.latency_fractions=[0.6,0.9]"),
    *("search.finalists.candidates=2", "search.finalists.visits=4", "search.finalists.repeats=2"),
]
PLAIN = [*SEARCH, "search.evaluations=12"]
JOINT = [
    *(*SEARCH, "search=joint", "search.evaluations=12", "search.tuning.epochs=2", "search.tuning.rungs=[0,1]"),
    *("search.tuning.least=3", "search.tuning.zero_shot=10", "search.tuning.finalist_epochs=2"),
    "search.tuning.rewind=0.5",
]
SAMPLERS = {
    "guided": ["sampler=guided", "sampler.startup_trials=5", "sampler.batch=3"],
    "evolution": ["sampler=evolution", "sampler.startup_trials=5"],
    "tpe": ["sampler=tpe", "sampler.startup_trials=5"],
    "nsga2": ["sampler=nsga2", "sampler.population=4"],
    "random": ["sampler=random"],
    "amc": ["sampler=amc", "sampler.warmup=5"],
    "filter_policy": ["sampler=filter_policy", "sampler.samples=4"],
}
EXTRACT = ["extract", *RUN, "export.calibration_images=32"]
COMPARE = ["compare", *RUN, "visits=4", "repeats=2", "calibration_images=32"]
REPORT, SWEEP = ["report", "run=tiny"], ["sweep", "run=tiny"]
PRUNE = [
    *("prune", "run=tiny", "model=lenet5", "data=synthetic", "data.dataset.image_size=8", "data.dataset.samples=240"),
    *("dense.epochs=2", "dense.batch_size=32", "dense.validate_every=1"),
]
ALL = ["run", *DEVICE, *PLAIN[1:], *TRAIN[3:], "sampler.startup_trials=5", "export.calibration_images=32"]
ALL = list(dict.fromkeys(ALL))


@dataclass(frozen=True)
class Sequence:
    """Commands in the order in which they are given.

    Attributes:
        name: of the kind of sequence.
        before: the kind whose result they begin with; "" for an empty folder.
        share: of all sequences, a weight.
    """

    name: str
    before: str
    commands: tuple[list[str], ...]
    share: float


def sequences() -> dict[str, Sequence]:
    """Returns every kind of sequence by name, those that others begin with before them."""
    made = [
        Sequence("train", "", (TRAIN,), 18),
        Sequence("profile", "train", (PROFILE,), 16),
        *(
            Sequence(f"search {name}", "profile", ([*PLAIN, *options, "study=one"],), 5)
            for name, options in SAMPLERS.items()
        ),
        *(
            Sequence(f"joint search {name}", "profile", ([*JOINT, *options, "study=two"],), 8)
            for name, options in SAMPLERS.items()
        ),
        Sequence("extract", "search guided", (EXTRACT,), 12),
        Sequence("extract, joint", "joint search guided", (EXTRACT,), 10),
        Sequence("compare", "extract", (COMPARE,), 10),
        Sequence("report and sweep", "compare", (REPORT, SWEEP), 6),
        Sequence("prune weights", "", ([*PRUNE, "prune=cubic", "prune.sparsity=0.7", "name=weights"],), 9),
        Sequence("prune channels", "", ([*PRUNE, "prune=channels", "name=slim"],), 9),
        Sequence("prune tickets", "", ([*PRUNE, "prune=lottery", "prune.method.rounds=2", "name=tickets"],), 9),
        Sequence("prune learned", "", ([*PRUNE, "prune=amc", "prune.method.episodes=6", "name=learned"],), 9),
        Sequence("run", "", (ALL,), 8),
    ]
    return {one.name: one for one in made}
