"""Errors as one line each: what was received, the rule, the nearest valid choice."""

from __future__ import annotations

import re

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from ofa.errors import InvalidInput, nearest

LAUNCHER = "hydra/launcher"
LAUNCHERS_COME_WITH = "joblib, submitit and slurm need pip install 'ofa-search[sweeps]'"
OF_TRAINING = ("model", "data", "space", "train")  # groups that later verbs read back from the supernet


def explain(error: BaseException) -> str | None:
    """Returns the error as one line for the user who caused it, or None where it is none of the user's."""
    if isinstance(error, InvalidInput):
        return _line(str(error).split(":\n")[0])  # what follows is a table
    if isinstance(error, InstantiationException):
        return _instantiation(error)
    if isinstance(error, MissingConfigException):
        return _missing_config(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} cannot be read: an override is key=value, +key=value or group=option"
    if isinstance(error, ConfigCompositionException):
        return _composition(error)
    if isinstance(error, MissingMandatoryValue) and error.full_key:
        return f"{error.full_key} has to be given: add {error.full_key}=..."
    if isinstance(error, OmegaConfBaseException):
        return _line(str(error).split("\n")[0])
    if isinstance(error, HydraException):
        return _line(str(error))
    return None


def _line(text: str) -> str:
    return " ".join(text.split())


def _missing_config(error: MissingConfigException) -> str:
    """`group=option` where the group has no such option."""
    missing = error.missing_cfg_file or ""
    group, _, option = missing.rpartition("/")
    if group == LAUNCHER:
        near = f"; {nearest(option, error.options, 5)}" if error.options else ""
        return f"{group}={option} is not known{near} ({LAUNCHERS_COME_WITH})"
    if not error.options:
        return _line(str(error))
    near = nearest(option, error.options, 5)
    return f"{group}={option} is not known; {near} (--config-dir adds your own)"


def _composition(error: ConfigCompositionException) -> str:
    """A key that the configuration does not have, or a group that the verb does not use."""
    cause = error.__cause__
    if isinstance(cause, OmegaConfBaseException) and getattr(cause, "full_key", None):
        override = re.search(r"'([^']+)'", str(error))
        full = str(cause.full_key)
        key = override.group(1) if override and not full.startswith(f"{override.group(1)}.") else full
        parent = getattr(cause, "parent_node", None)
        choices = [str(name) for name in parent if name != "hydra"] if parent is not None else []
        last = str(key).rpartition(".")[2]
        return f"{key} is not a key of this verb; {nearest(last, choices, 5)}"
    group = re.match(r"Could not override '([^'@]+)'.*No match in the defaults list", str(error), re.DOTALL)
    if group:
        decided = "it was decided by ofa train" if group.group(1) in OF_TRAINING else "see its --help"
        return f"{group.group(1)} is not a group of this verb; {decided}"
    return _line(str(error))


def _instantiation(error: InstantiationException) -> str:
    """What a `_target_` said when it was called, with the place in the configuration."""
    place = re.search(r"full_key: (\S+)", str(error))
    prefix = f"{place.group(1)}: " if place else ""
    cause: BaseException | None = error
    while isinstance(cause, InstantiationException):
        target = re.search(r"target '([^']+)'", str(cause)) or target_of(cause)
        cause = cause.__cause__
    if isinstance(cause, InvalidInput):
        return _line(str(cause))
    if cause is None:
        return prefix + _line(str(error).split("\nfull_key")[0])
    name = target.group(1) if target else "the target"
    if isinstance(cause, ImportError):
        reason = re.sub(r"^Error loading '[^']*':", "", str(cause)).split("Are you sure")[0]
        return f"{prefix}_target_ {name} cannot be imported: {_line(reason)}"
    return f"{prefix}{name}: {_line(str(cause)) or type(cause).__name__}"


def target_of(error: BaseException) -> re.Match[str] | None:
    """Returns the target's name in an instantiate error, where it names one."""
    return re.search(r"'([\w.]+)'", str(error))
