"""Errors as one line each: the value, the rule, the nearest valid choice; and the line of user code they came from."""

from __future__ import annotations

import errno
import re
import sysconfig
import traceback
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

import ofa
from ofa.errors import InvalidInput, nearest
from search.app.process import hidden_module_text, hidden_target_of

LAUNCHER = "hydra/launcher"

LAUNCHERS_COME_WITH = "joblib, submitit and slurm need pip install 'ofa-search[sweeps]'"

LONGEST_LINE, LINE_END = 1000, 300  # characters, and those of its end, which holds the remedy

# What people look for under another name.
ELSEWHERE_NAMED = {"weights": "start=checkpoint start.path=FILE, or another option of the group start"}

# Groups that later verbs read back from the supernet.
OF_TRAINING = ("model", "data", "task", "teacher", "space", "train")
RESUMES = "finished work is kept, and the same command resumes"
ELSEWHERE = "or use outputs=FOLDER elsewhere"
FAULTS = {
    errno.ENOSPC: ("the disk is full", f"free some space, {ELSEWHERE}; {RESUMES}"),
    errno.EDQUOT: ("your quota of the disk is used up", f"free some space, {ELSEWHERE}; {RESUMES}"),
    errno.EFBIG: ("the file is larger than may be written", f"raise the limit (ulimit -f), {ELSEWHERE}; {RESUMES}"),
    errno.EROFS: ("the disk can only be read", "use outputs=FOLDER on one that can be written"),
    errno.EACCES: ("permission denied", f"change its permissions or its owner, {ELSEWHERE}"),
    errno.EPERM: ("not permitted", f"change its permissions or its owner, {ELSEWHERE}"),
    errno.ENOLCK: ("the file system gives no locks", "use outputs=FOLDER on a local disk, or mount it with locks"),
    errno.EOPNOTSUPP: ("the file system gives no locks", "use outputs=FOLDER on a local disk, or mount it with locks"),
    errno.ENOSYS: ("the file system cannot do that", "use outputs=FOLDER on a local disk"),
    errno.ENAMETOOLONG: ("the name is too long for the file system", "shorten run=, study=, name= or outputs="),
    errno.ENOTDIR: ("a file stands where a folder is needed", "move that file away, or use another run= or outputs="),
    errno.EEXIST: ("a file stands where a folder is needed", "move that file away, or use another run= or outputs="),
    errno.EISDIR: ("a folder stands where a file is needed", "move that folder away, or name a file"),
    errno.ELOOP: ("it is a link where links are not followed, or a circle of links", "remove that link"),
    errno.EMFILE: ("too many files are open", f"raise the limit (ulimit -n 4096), or use fewer workers; {RESUMES}"),
    errno.ENFILE: ("too many files are open on this machine", f"end other programs; {RESUMES}"),
    errno.EIO: ("the disk has an input/output error", f"look at the disk (dmesg); {RESUMES}"),
    errno.ESTALE: ("the network disk has lost that file", f"mount it again; {RESUMES}"),
    errno.ENODEV: ("the disk is no longer there", "mount it again"),
    errno.ENOMEM: ("out of memory", f"end other programs, or ask for less; {RESUMES}"),
    errno.EAGAIN: ("no more processes may be started", "raise the limit (ulimit -u), or use fewer workers or jobs"),
}
TEMPORARY = re.compile(r"\.([^/]+)\.ofa-[0-9a-f]{16}\.tmp")  # a temporary file before its rename (see `ofa.paths`)
OUT_OF_MEMORY = re.compile(r"(can't|cannot) allocate memory|not enough memory|out of memory", re.IGNORECASE)
LESS_MEMORY = "a smaller batch_size, fewer workers or jobs, or a smaller model needs less; " + RESUMES
_PATHS = sysconfig.get_paths()
_OWN = Path(ofa.__file__).parent
_INSTALLED = (str(_OWN), str(_OWN.parent / "search"), _PATHS["stdlib"], _PATHS["platstdlib"], "<")


def explain(error: BaseException, where: str = "") -> str | None:
    """Returns an error that the user caused or can fix as one line; None for any other error.

    `where` is the folder of outputs, for errors of the system that name no file.
    """
    if isinstance(error, InvalidInput):
        return _line(str(error).split(":\n")[0])  # a table follows
    if isinstance(error, InstantiationException):
        return _instantiation(error)
    if isinstance(error, MissingConfigException):
        return _missing_config(error)
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override!r} cannot be read: an override is key=value, +key=value or group=option"
            f"{_quoting(str(error.override))}"
        )
    if isinstance(error, ConfigCompositionException):
        return _composition(error)
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"{error.full_key} must be set: add {error.full_key}=..."
    if isinstance(error, OmegaConfBaseException):
        return _line(str(error).split("\n")[0])
    if isinstance(error, HydraException):
        return _line(str(error))
    return explain_environment(error, where)


def _quoting(override: str) -> str:
    """How to quote a value that the shell or Hydra cut."""
    key, equals, value = override.partition("=")
    if not equals:
        return "; a value with blanks is quoted as a whole: 'data.dataset.path=\"/a/my set\"'"
    if value[:1] in ("{", "["):
        return "; inside braces a value with signs is quoted by itself: 'search.metric_limits={recall: \">= 0.9\"}'"
    bare = value.strip("\"'")
    return f"; a value with blanks or signs is quoted twice: '{key}=\"{bare}\"'" if "'" not in bare else ""


def _line(text: str) -> str:
    """One line, not too long, without control characters, which a damaged file may contain."""
    line = "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in " ".join(text.split())
    )
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[: LONGEST_LINE - LINE_END]} [...] {line[-LINE_END:]}"


def _missing_config(error: MissingConfigException) -> str:
    """The message for `group=option` if the group has no such option."""
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    if group == LAUNCHER:
        near = f"; {nearest(option, error.options, 5)}" if error.options else ""
        return f"{group}={option} is not known{near} ({LAUNCHERS_COME_WITH})"
    if not error.options:
        return _line(str(error))
    near = nearest(option, error.options, 5)
    named = (
        f"; a device profiled under device.name={option}: 'latency_ms={{{option}: MS}}'" if group == "device" else ""
    )
    return f"{group}={option} is not known; {near}{named} (--config-dir adds your own)"


def _composition(error: ConfigCompositionException) -> str:
    """The message for a key that the configuration does not have, or a group that the verb does not use."""
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and getattr(cause, "full_key", None):
        override = re.search(r"'([^']+)'", str(error))
        full = str(cause.full_key)
        key = override.group(1) if override and not full.startswith(f"{override.group(1)}.") else full
        parent = getattr(cause, "parent_node", None)
        choices = [str(name) for name in parent if name != "hydra"] if parent is not None else []
        if key in ELSEWHERE_NAMED:
            return f"{key} is not a key of this verb; give {ELSEWHERE_NAMED[key]}"
        above, _, last = str(key).rpartition(".")
        if above and not choices:
            return f"{above} has no keys unless they are added, with a plus: {_added(str(error)) or f'+{key}=...'}"
        return f"{key} is not a key of this verb; {nearest(last, choices, 5)}"
    group = re.match(r"Could not override '([^'@]+)'.*No match in the defaults list", str(error), re.DOTALL)
    if group:
        decided = "it was decided by ofa train" if group.group(1) in OF_TRAINING else "see its --help"
        return f"{group.group(1)} is not a group of this verb; {decided}"
    return _line(str(error))


def _added(text: str) -> str | None:
    """The override that appends a key, as Hydra's message has it."""
    match = re.search(r"To append to your config use (\+.*)", text)
    return match[1].strip() if match else None


def _instantiation(error: InstantiationException) -> str:
    """The error of a `_target_` when it was called, with its key in the configuration."""
    key_match = re.search(r"full_key: (\S+)", str(error))
    prefix = f"{key_match.group(1)}: " if key_match else ""
    cause: BaseException | None = error
    while isinstance(cause, InstantiationException):
        target = re.search(r"target '([^']+)'", str(cause)) or target_of(cause)
        cause = cause.__cause__
    if isinstance(cause, InvalidInput):
        return _line(str(cause))
    if cause is None:
        if hidden := hidden_target_of(str(error)):
            return f"{prefix}{hidden}"
        return prefix + _line(str(error).split("\nfull_key")[0])
    name = target.group(1) if target else "the target"
    if hidden := hidden_module_text(name):
        return f"{prefix}{hidden}"
    if fault := explain_environment(cause):
        return f"{prefix}{name}: {fault}"
    if isinstance(cause, ImportError):
        reason = re.sub(r"^Error loading '[^']*':", "", str(cause)).split("Are you sure")[0]
        return f"{prefix}_target_ {name} cannot be imported: {_line(reason)}"
    return f"{prefix}{name}: {_line(str(cause)) or type(cause).__name__}"


def target_of(error: BaseException) -> re.Match[str] | None:
    """Returns the target's name in an instantiation error, if it names one."""
    return re.search(r"'([\w.]+)'", str(error))


def explain_environment(error: BaseException, where: str = "") -> str | None:
    """Returns an error of the environment as one line with path and remedy; None for any other error.

    `where` names the folder of outputs, for an error of the system that names no file.
    """
    if isinstance(error, MemoryError) or _is_out_of_memory(error):
        requested = re.search(r"[Tt]ried to allocate ([\d.]+ (?:bytes|[KMGT]iB))", str(error))
        return f"out of memory{f', {requested.group(1)} were requested' if requested else ''}: {LESS_MEMORY}"
    if isinstance(error, UnicodeEncodeError):
        text = error.object[error.start : error.end].encode("ascii", "backslashreplace").decode()
        return f"{text!r} cannot be written in the encoding {error.encoding}: set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return "the current folder no longer exists: change to another one (cd)"
    if error.errno not in FAULTS:
        return None
    fault, remedy = FAULTS[error.errno]
    path = next((str(name) for name in (error.filename2, error.filename) if isinstance(name, str | bytes)), where)
    path = TEMPORARY.sub(r"\1", path)
    return f"{path}: {fault}: {remedy}" if path else f"{fault}: {remedy}"


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch ran out of memory, on the CPU (a RuntimeError) or on a GPU."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and OUT_OF_MEMORY.search(str(error)) is not None


def user_line(error: BaseException) -> str | None:
    """Returns "file.py:12 in function `source`" of the innermost line of an error that is of no installed package.

    None: there is none.
    """
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(_INSTALLED) and "site-packages" not in frame.filename:
            function = "" if frame.name.startswith("<") else f" in {frame.name}"
            return f"{Path(frame.filename).name}:{frame.lineno}{function}" + (f" `{frame.line}`" if frame.line else "")
    return None
