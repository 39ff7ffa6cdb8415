"""WandbLogger: a run of Weights & Biases, online or offline."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ofa.loggers.logger import flat, needs
from ofa.paths import write_json


class _Known(msgspec.Struct):
    """What has to be known to go on."""

    id: str
    step: int | None = None


class WandbLogger:
    """Writes to a run of its own, `<name>` in the group of the output folder, and its files to `<folder>/wandb/`.

    Its identity and its last step are kept beside them, so that work that is resumed goes on in the same run.

    Args:
        project: of Weights & Biases.
        mode: "online", "offline" (`wandb sync` sends it later) or "disabled"; None: as WANDB_MODE says, or online.
        entity: a user or a team; None: that of the login.

    Raises:
        InvalidInput: wandb is not installed.
    """

    def __init__(
        self, folder: Path | str, name: str, *, project: str = "ofa", mode: str | None = None, entity: str | None = None
    ) -> None:
        self._wandb = needs("wandb", "wandb")
        self._folder, self._name = Path(folder), name
        self._project, self._mode, self._entity = project, mode, entity
        self._state = self._folder / "wandb" / f"{name.replace('/', '-')}.json"
        self._known = _Known(secrets.token_hex(4))
        self._run: Any = None

    def open(self, *, fresh: bool) -> int | None:
        """Returns the last step that was logged; a `fresh` one is another run."""
        if not fresh and self._state.exists():
            self._known = msgspec.json.decode(self._state.read_bytes(), type=_Known)
        self._state.parent.mkdir(parents=True, exist_ok=True)
        group = self._folder.resolve().parent.name
        self._run = self._wandb.init(
            project=self._project,
            entity=self._entity,
            mode=self._mode,
            dir=str(self._folder),
            id=self._known.id,
            resume="allow",
            name=f"{group}/{self._name}",
            group=group,
            reinit="create_new",
            settings=self._wandb.Settings(console="off", silent=True),
        )
        self._keep()
        return self._known.step

    def log(self, step: int, row: Mapping[str, Any]) -> None:
        """Sends a row."""
        self._run.log(flat(row), step=step)
        self._known.step = step
        self._keep()

    def close(self) -> None:
        """Ends the run, once all is sent or written."""
        if self._run is not None:
            self._run.finish()

    def _keep(self) -> None:
        write_json(self._state, msgspec.to_builtins(self._known))
