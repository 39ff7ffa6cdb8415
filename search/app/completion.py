"""Completion in the shell of verbs, groups, options and keys: `ofa completion` installs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ofa.errors import InvalidInput, nearest
from ofa.paths import write_atomic

BASH = """_ofa() {
    local line="${COMP_LINE:0:$COMP_POINT}" word before IFS=$'\\n'
    word="${line##* }"
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" completion query "$line" 2>/dev/null)" -- "$word"))
    if [[ "$word" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then  # bash replaces only what stands behind the last "="
        before="${word%"${word##*=}"}"
        COMPREPLY=("${COMPREPLY[@]#"$before"}")
    fi
}
complete -o nospace -o default -F _ofa ofa
"""
ZSH = """(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
_ofa() {
    local -a found
    found=("${(@f)$("$words[1]" completion query "${(j: :)words[1,CURRENT-1]} $PREFIX" 2>/dev/null)}")
    compadd -Q -S '' -- "${(@M)found:#*=}"
    compadd -Q -- "${(@)${(@M)found:#* }% }"
}
compdef _ofa ofa
"""
FISH = """function __ofa_completion
    set -l words (commandline -opc)
    $words[1] completion query (commandline -cp) 2>/dev/null | string trim
end
complete -c ofa -f -a '(__ofa_completion)'
"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def completion(arguments: Sequence[str], verbs: Sequence[str]) -> int:
    """Returns the exit code of `ofa completion`: installs it for the shell in use, or prints a shell's script.

    Raises:
        InvalidInput: another shell.
    """
    if arguments[:1] == ["query"]:
        print("\n".join(candidates(" ".join(arguments[1:]), verbs)))
        return 0
    if arguments:
        print(_script(arguments[0]), end="")
        return 0
    shell = Path(os.environ.get("SHELL", "")).name
    print(f"completion for {shell} is in {_install(shell, _script(shell), Path.home())}; it works in new shells")
    return 0


def _script(shell: str) -> str:
    if shell not in SCRIPTS:
        raise InvalidInput(f"ofa completion: {shell!r} is not among the shells; {nearest(shell, SCRIPTS)}")
    return SCRIPTS[shell]


def _install(shell: str, script: str, home: Path) -> Path:
    """Returns the file that the script was written to, which the shell reads from now on."""
    if shell == "fish":
        path = home / ".config/fish/completions/ofa.fish"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, script.encode())
        return path
    path, settings = home / f".config/ofa/completion.{shell}", home / f".{shell}rc"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, script.encode())
    line = f"[ -f ~/.config/ofa/completion.{shell} ] && . ~/.config/ofa/completion.{shell}\n"
    known = settings.read_text(encoding="utf-8") if settings.is_file() else ""
    if line not in known:
        with settings.open("a", encoding="utf-8") as file:  # nothing of a person's own file is written again
            file.write(("" if known.endswith("\n") or not known else "\n") + line)
    return path


def candidates(line: str, verbs: Sequence[str]) -> list[str]:
    """Returns what the last word of a command line may become; a space ends those that are complete."""
    _, *words = line.split(" ")
    *before, word = words or [""]
    before = [other for other in before if other]
    if not before:
        return [f"{verb} " for verb in verbs if verb.startswith(word)]
    if before[0] not in verbs:
        return []
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from search.app.help import composed, keys_of, options_of

    try:
        options, config = composed(before[0], before[1:])
    except (HydraException, OmegaConfBaseException):  # what stands there so far is no configuration yet
        options, config = composed(before[0], [])
    group, equals, _ = word.partition("=")
    if equals and group in options:
        choices = [f"{group}={option} " for option in options_of(group, options[group])]
    else:
        choices = [f"{name}=" for name in dict.fromkeys([*options, *(path for path, _ in keys_of(config))])]
    return sorted(choice for choice in choices if choice.startswith(word))


def main(arguments: Sequence[str], verbs: Sequence[str]) -> int:
    """Returns the exit code of `ofa completion`, with its error in one line."""
    try:
        return completion(arguments, verbs)
    except InvalidInput as error:
        print(error, file=sys.stderr)
        return 2
