"""`ofa VERB --help`: every key has a meaning, from the comments of the configuration files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from search.app.help import comments, keys_of, meanings, verb_help
from search.app.main import VERBS, main
from search.run.paths import conf_dir


@pytest.mark.parametrize("verb", VERBS)
def test_every_key_of_a_verb_has_a_line_that_says_what_it_means(verb: str) -> None:
    text = verb_help(verb, [])
    keys = text.split("Keys: ")[1].split("\n\n")[0].splitlines()[1:]
    assert keys and [line for line in keys if len(line.split("  ")) < 3 or not line.split("  ")[-1].strip()] == []
    assert f"ofa {verb} ... --cfg job" in text
    example = re.search(r"such as ofa (\w+) (\S+)=(\w+); a key takes a value", text)
    assert (example is None) == ("Groups" not in text)
    if example:
        assert example[1] == verb and (conf_dir() / example[2] / f"{example[3]}.yaml").is_file()


def test_an_option_changes_keys_and_what_is_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--help", "train=adapt", "train.epochs=3"]) == 0
    text = capsys.readouterr().out
    assert "train=adapt | adapt_adamw | " in text and "train.epochs=3 " in text
    assert main(["train", "trian=adapt", "--help"]) == 2
    assert "did you mean train" in capsys.readouterr().err


def test_options_of_ones_own_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/mine.yaml").write_text("_target_: mine.Net\nwidth: 8\n")
    assert "model.width=8" in verb_help("train", ["model=mine", "--config-dir", str(tmp_path)])


def test_comments_go_on_in_the_next_line_and_are_not_taken_from_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("a: 'x # y'  # first\n            # second\nb:\n  c: 1  # third\nd: 2\n")
    assert comments(file) == {"a": "first second", "b.c": "third"}


def test_how_objects_are_made_is_no_key() -> None:
    with initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
        config = OmegaConf.to_container(compose("train"), resolve=False)
    assert isinstance(config, dict)
    assert not [path for path, _ in keys_of(config) if "_target_" in path]
    assert meanings("train", {"train": "adapt"})["train.epochs"]
