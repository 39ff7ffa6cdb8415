"""`ofa compress` on what a run has: the subnets that its last search chose, and its pruned networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import search
from ofa.checkpoint import load_checkpoint
from ofa.identity import digest_of
from ofa.records import read_record
from search.app.main import main
from search.compression import training as stage_training
from search.networks.folder import SubnetFolder
from search.run.cards import SubnetCard
from search.run.compressed_cards import CompressedCard
from search.run.paths import RunFolder
from tests.search.app.pruned_run import TINY

RUN = RunFolder(Path("outputs/tiny"))
COMPRESS = ["compress", "run=tiny"]
QUICK = ["compress.epochs=2", "compress.codebook_epochs=1"]

pytestmark = pytest.mark.slow


def card_of(name: str) -> CompressedCard:
    return read_record(RUN.compressed / name / "card.json", CompressedCard)


def test_chosen_subnets_become_files(tiny_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([*COMPRESS, "compress=code_only"]) == 0
    folder = SubnetFolder(RUN.subnet("onnxruntime-1000ms"))
    card, subnet = card_of("onnxruntime-1000ms-code_only"), read_record(folder.card, SubnetCard)
    assert card.source == "the subnet onnxruntime-1000ms" and card.arch.digest == subnet.arch_digest
    assert card.stages[0].scores == card.scores == subnet.scores  # nothing is lost
    net = search.load(RUN.compressed / card.name)
    assert sum(tensor.numel() for tensor in net.parameters()) == subnet.params
    told = capfd.readouterr()
    assert told.out.count("times smaller:") == 1
    assert "the subnet onnxruntime-2000ms is the same network as the subnet onnxruntime-1000ms" in told.err
    assert main([*COMPRESS, "compress=code_only", "limit=2000"]) == 0
    files = [RUN.compressed / f"onnxruntime-{limit}ms-code_only/model.ofaz" for limit in (1000, 2000)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert main(["report", "run=tiny"]) == 0
    assert RUN.report.read_text().count("compress-stages-1") >= 1
    assert main([*COMPRESS, "name=one"]) == 2
    assert "chose 2 subnets: add limit=MS" in capfd.readouterr().err


def test_an_interrupted_compression_ends_with_the_same_file(tiny_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    way = [*COMPRESS, "limit=1000", *QUICK, "finetune.checkpoint_seconds=0"]
    assert main([*way, "name=whole"]) == 0
    original, calls = stage_training.train_network, [0]

    def killed(*arguments: Any, callbacks: Any = (), **options: Any) -> Any:
        calls[0] += 1
        call = calls[0]

        def stop(event: Any, state: Any) -> None:
            if event.name == "STEP" and call in (1, 3) and state.step == 4 + call:
                raise KeyboardInterrupt

        return original(*arguments, callbacks=[*callbacks, stop], **options)

    monkeypatch.setattr(stage_training, "train_network", killed)
    codes = [main([*way, "name=killed"]) for _ in range(3)]
    assert codes == [130, 130, 0]
    assert card_of("killed").digest == card_of("whole").digest
    assert [row.scores for row in card_of("killed").stages] == [row.scores for row in card_of("whole").stages]
    first, second = (RUN.compressed / name / "model.ofaz" for name in ("killed", "whole"))
    assert first.read_bytes() == second.read_bytes()


def test_a_pruned_network_stays_pruned(pruned_copy: Path) -> None:
    assert main([*COMPRESS, "pruned=sparse", "compress=integers", *QUICK, "name=integers"]) == 0
    masks = load_checkpoint(RUN.pruned / "sparse/masks.safetensors")[0]
    net = search.load(RUN.compressed / "integers")
    parameters = dict(net.named_parameters())
    for name, mask in masks.items():  # units are in another order
        assert int((parameters[name] == 0).sum()) >= int((~mask).sum()) > 0
    card = card_of("integers")
    assert card.stages[0].density < 0.5 and card.bytes < card.stages[0].bytes
    assert main([*COMPRESS, "pruned=slim", "compress=code_only", "name=slim"]) == 0
    slim = search.load(RUN.compressed / "slim")
    assert sum(p.numel() for p in slim.parameters()) < sum(p.numel() for p in net.parameters())
    assert card_of("slim").arch.values and card_of("slim").scores == card_of("slim").stages[0].scores


def test_the_dense_network_of_a_run_is_a_checkpoint(pruned_copy: Path) -> None:
    (dense,) = RUN.dense.glob("*/model.safetensors")
    own = [key for key in TINY if not key.startswith("dense")]
    start = ["start=checkpoint", f"start.path={dense}", "compress=code_only", "name=dense"]
    assert main(["compress", *own, *start]) == 0
    tensors = load_checkpoint(dense)[0]
    net = search.load(RUN.compressed / "dense")
    assert digest_of(net) == card_of("dense").digest
    for name, tensor in net.state_dict().items():  # units are in another order
        assert torch.equal(tensor.reshape(-1).sort().values, tensors[name].reshape(-1).sort().values)
