"""Every kind of file in a run folder: where it lies, in what format it is, and what reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.mutated import readers
from benchmarks.mutated.byte_mutators import BYTES
from benchmarks.mutated.coded_mutators import CODED
from benchmarks.mutated.container_mutators import NPZ, SAFETENSORS, YAML
from benchmarks.mutated.json_mutators import JSON
from benchmarks.mutated.line_mutators import CACHE, JOURNAL, LINES
from benchmarks.mutated.mutation import Mutator
from benchmarks.mutated.readers import Reader, record
from ofa.arch import ArchFile
from ofa.prune.lottery_folder import LotterySettings
from search.candidates.search_files import Finalists, SubnetList, Trials
from search.run.cards import SubnetCard, TunedCard
from search.run.compressed_cards import CompressedCard
from search.run.pruned_cards import PrunedCard, SlimCard
from search.run.result_files import Comparison
from search.run.training_cards import DenseCard, History, SupernetCard
from search.study.warm_start import WarmStart
from search.study.zero_shot import EvaluatedArchs


@dataclass(frozen=True)
class Kind:
    """A kind of file, as one reader of it sees it.

    Attributes:
        files: a regular expression of their paths below the folder of runs.
        takes: "all" of what was written or nothing; "some": records that are damaged are left out; "any": what it says
            is held against something else later, here it may not crash, hang or take memory.
        share: of all mutations, times those of a kind with 1.
        mutators: of its format; those of bytes are added.
    """

    name: str
    files: str
    reader: Reader
    mutators: tuple[Mutator, ...] = ()
    takes: str = "all"
    share: float = 1.0

    def holds(self, path: str) -> bool:
        """Whether a file is of this kind."""
        return re.fullmatch(self.files, path) is not None


TINY = "outputs/tiny"
NETWORK = rf"{TINY}/(subnets/[^/]+|prune/[^/]+|prune/slim/slim)"
HEAVY = 0.25  # of what takes tens of milliseconds
KINDS = (
    Kind("supernet card", rf"{TINY}/supernet/supernet\.json", record(SupernetCard), JSON),
    Kind("supernet card, loaded", rf"{TINY}/supernet/supernet\.json", readers.trained, JSON, share=HEAVY),
    Kind("config", rf"{TINY}/supernet/config\.yaml", readers.trained, YAML, share=HEAVY),
    Kind("supernet weights", rf"{TINY}/supernet/model\.safetensors", readers.supernet_weights, SAFETENSORS),
    Kind("supernet weights, loaded", rf"{TINY}/supernet/model\.safetensors", readers.trained, SAFETENSORS, share=HEAVY),
    Kind("data record", rf"{TINY}/supernet/data\.safetensors", readers.data_record, SAFETENSORS, share=HEAVY),
    Kind("data record, parsed", r".*/data\.safetensors", readers.checkpoint, SAFETENSORS),
    Kind("training checkpoint", r".*/checkpoint\.safetensors", readers.checkpoint, SAFETENSORS),
    Kind("training, gone on with", r".*/checkpoint\.safetensors", readers.training, SAFETENSORS),
    Kind("history", r".*/history\.json", record(History), JSON),
    Kind("stage", r".*[/.]stage\.json", readers.stamp, JSON, share=2),
    Kind("profile", rf"{TINY}/(search/[^/]+/)?profiles/[a-z0-9]+\.json", readers.profile, JSON, share=2),
    Kind("bundle manifest", rf"{TINY}/profiles/bundles/.*\.json", readers.manifest, JSON),
    Kind("measurement of a device", r"device/profile\.json", readers.measurement, JSON, share=2),
    Kind("bundle on the device", r"device/(manifest\.json|networks/.*)", readers.on_the_device, (), share=HEAVY),
    Kind("bundle manifest on the device", r"device/manifest\.json", readers.on_the_device, JSON),
    Kind("rounds", r".*rounds\.jsonl", readers.rounds, LINES, takes="some"),
    Kind("evaluated archs", rf"{TINY}/cache/.*-archs-.*\.json", record(EvaluatedArchs), JSON),
    Kind("cache of accuracies", rf"{TINY}/cache/[0-9a-f-]*\.jsonl", readers.accuracies, CACHE, "some"),
    Kind("cache of tuned", rf"{TINY}/cache/.*-tuned\.jsonl", readers.tuned_cache, CACHE, "some"),
    Kind("comparison", rf"{TINY}/comparison\.json", record(Comparison), JSON),
    Kind("dense card", rf"{TINY}/dense/[^/]+/card\.json", record(DenseCard), JSON),
    Kind("dense weights", rf"{TINY}/dense/[^/]+/model\.safetensors", readers.checkpoint, SAFETENSORS),
    Kind("lottery row", rf"{TINY}/prune/lottery/levels/level.*\.json", readers.lottery, JSON),
    Kind("lottery settings", rf"{TINY}/prune/lottery/levels/settings\.json", record(LotterySettings), JSON),
    Kind("lottery tensors", rf"{TINY}/prune/lottery/levels/.*\.safetensors", readers.lottery, SAFETENSORS),
    Kind("pruned card", rf"{TINY}/prune/[^/]+/card\.json", record(PrunedCard), JSON),
    Kind("subnet card", rf"{TINY}/subnets/[^/]+/card\.json", record(SubnetCard), JSON),
    Kind("slim card", rf"{TINY}/prune/slim/slim/card\.json", record(SlimCard), JSON),
    Kind("arch", rf"{NETWORK}/arch\.json", record(ArchFile), JSON),
    Kind("network, JSON", rf"{NETWORK}/(arch|card)\.json", readers.network, JSON, share=HEAVY),
    Kind("network, tensors", rf"{NETWORK}/(model|masks)\.safetensors", readers.network, SAFETENSORS, share=HEAVY),
    Kind("network, others", rf"{NETWORK}/(network\.py|model\.onnx|verify\.npz)", readers.network, share=HEAVY),
    Kind("network weights and masks", rf"{NETWORK}/(model|masks)\.safetensors", readers.checkpoint, SAFETENSORS),
    Kind("coded tensors", rf"{TINY}/(coded|compressed)/.*\.ofaz", readers.coded, CODED, share=2),
    Kind("compressed network", rf"{TINY}/compressed/.*\.ofaz", readers.compressed, CODED, share=HEAVY),
    Kind("compressed card", rf"{TINY}/compressed/.*/card\.json", record(CompressedCard), JSON),
    Kind("logits", rf"{NETWORK}/verify\.npz", readers.logits, NPZ, "any", share=0.5),
    Kind("finalists", rf"{TINY}/search/[^/]+/finalists\.json", record(Finalists), JSON),
    Kind("trials", rf"{TINY}/search/[^/]+/trials\.json", record(Trials), JSON),
    Kind("trials, as warm start", rf"{TINY}/search/[^/]+/trials\.json", readers.candidates, JSON),
    Kind("warm start", rf"{TINY}/search/[^/]+/warm_start\.json", record(WarmStart), JSON),
    Kind("journal", rf"{TINY}/search/[^/]+/journal\.log", readers.journal, JOURNAL, share=3),
    Kind("journal's head", rf"{TINY}/search/[^/]+/journal\.head", readers.journal),
    Kind("tuned card", rf"{TINY}/search/[^/]+/tuned/[^/]+/card\.json", record(TunedCard), JSON),
    Kind("tuned network", rf"{TINY}/search/[^/]+/tuned/[^/]+/.*\.safetensors", readers.tuned, SAFETENSORS, share=HEAVY),
    Kind("subnet list", rf"{TINY}/subnets/[^/]+(?<!stage)\.json", record(SubnetList), JSON),
    Kind("lock", rf"{TINY}/.*\.(driver|lock)", readers.lock, (), "any", share=0.2),
    Kind(
        "report of all",
        rf"{TINY}/(?!profiles/bundles|.*levels/).*(supernet|history|stage|finalists|trials|card|comparison|[a-z]+)\.json",
        *(readers.report, JSON, "all", 0.5),
    ),
)
# What nothing of ours reads: pages, pictures and what people open; configurations beside cards that hold the same.
WRITTEN_ONLY = (
    r".*/(report|live)\.html",
    r"outputs/README\.md",
    r".*/artifacts/.*",
    r".*/(dense|prune|compressed)/[^/]+/config\.yaml",
    r".*/compressed/[^/]+/log\.txt",
    r"[a-z0-9]+\.zip",
    r"device/measure\.py",
)


def kinds_of(root: Path) -> dict[Kind, list[Path]]:
    """Returns the files of each kind below a folder of runs.

    Raises:
        ValueError: a file is of no kind, or a kind has no file.
    """
    paths = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    found = {kind: [path for path in paths if kind.holds(path.as_posix())] for kind in KINDS}
    known = {path for files in found.values() for path in files}
    for path in paths:
        text = path.as_posix()
        if path not in known and not text.startswith(("outputs/other/", "outputs/cut/")):
            if not any(re.fullmatch(pattern, text) for pattern in WRITTEN_ONLY):
                raise ValueError(f"{text} is of no kind: say in {__name__} what reads it")
    for kind, files in found.items():
        if not files:
            raise ValueError(f"there is no file of the kind {kind.name}: have one made in honest_run")
    return found


def mutators_of(kind: Kind) -> tuple[Mutator, ...]:
    """Returns the mutators of a kind, half of them of its format, where it has one."""
    times = -(-len(BYTES) // len(kind.mutators)) if kind.mutators else 0
    return BYTES + kind.mutators * times
