"""What the dashboard says of a trial."""

from __future__ import annotations

from ofa.arch import Arch
from search.candidates.space import Candidate
from search.study.trial_attributes import note_text


def test_a_note_has_every_figure_with_its_unit_and_the_command() -> None:
    figures = {"latency_ms@phone": 0.25, "params": 123456.0}
    text = note_text(
        Candidate(Arch(width={"stem": 8}), (("sparsity", 0.9),)),
        figures,
        {"accuracy": "98.00 %"},
        "ofa extract trial=3",
    )
    assert text.splitlines()[:3] == [
        "- latency_ms@phone: 0.250 ms on phone",
        "- params: 123 k params",
        "- accuracy: 98.00 %",
    ]
    assert "- sparsity: 0.9" in text
    assert '{"width": {"stem": 8}}' in text
    assert "ofa extract trial=3" in text
    assert "![" not in text
    assert "](/artifacts/0/3/a)" in note_text(Candidate(Arch()), {}, {}, picture="/artifacts/0/3/a")


def test_no_line_of_a_note_is_wide_and_its_arch_is_still_json() -> None:
    arch = Arch(width={f"stages.{number}.expand": 8 * number for number in range(1, 60)})
    text = note_text(Candidate(arch), {}, {})
    assert max(map(len, text.splitlines())) <= 80
    assert Arch.from_json(text.split("```json\n")[1].split("\n```")[0]) == arch
