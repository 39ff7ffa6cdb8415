"""What the dashboard says of a trial."""

from __future__ import annotations

from ofa.arch import Arch
from search.candidate import Candidate
from search.notes import note_text


def test_a_note_has_every_figure_with_its_unit_and_the_command() -> None:
    figures = {"latency_ms@phone": 0.25, "params": 123456.0, "accuracy": 0.98}
    text = note_text(Candidate(Arch(width={"stem": 8}), (("sparsity", 0.9),)), figures, "ofa extract trial=3")
    assert text.splitlines()[:3] == ["- latency_ms@phone: 0.25 ms", "- params: 123456 params", "- accuracy: 0.98"]
    assert "- sparsity: 0.9" in text
    assert '{"width":{"stem":8}}' in text
    assert "ofa extract trial=3" in text
