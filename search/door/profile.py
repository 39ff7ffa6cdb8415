"""`search.profile`: how quick the subnets of a supernet are on a device, measured, with a model of all the others."""

from __future__ import annotations

from pathlib import Path

import ofa
from ofa.errors import InvalidInput
from search.config.request import Request, plain
from search.device.devices import made_runtime, profile_stage, say_profile, show_measuring
from search.device.profile import Profile
from search.device.profile_device import profile_device
from search.door.devices import AnyDevice, device_of
from search.door.inputs import check_supernet, one_line_errors
from search.run.progress import progress_shown, stage_progress


def profile(
    supernet: ofa.Supernet,
    device: AnyDevice = "onnxruntime",
    *,
    run: str | None = None,
    outputs: Path | str = "outputs",
    force: bool = False,
    progress: bool = True,
) -> Profile:
    """Returns the profile of this machine: measured subnets, and a latency model fitted to them.

    `profile.predict_archs(supernet, archs)` gives ms (N,) at batch 1, and `profile.held_out_error` how far off they
    are, a fraction, on subnets left out of the fit. Weights do not matter: a supernet is profiled before or after its
    training.

    Args:
        supernet: with an example input of the images' shape.
        device: a name such as "onnxruntime", "eager" or "openvino", a mapping, a Device or a Runtime, see
            `search.door.devices.device_of`; its `profile` says how long is measured (50 s at most by default).
        run: where the profile is kept, `outputs/run/profiles/`; a measurement that was cut off resumes there, and a
            complete one is read. None: it is not kept.
        outputs: the folder of all runs.
        force: whether it is measured again.
        progress: whether it is shown.

    Raises:
        InvalidInput: an unknown device, one that is another machine or whose runtime is not installed; a network that
            the runtime refuses; or a machine that is too busy to be measured.
    """
    with progress_shown(progress), one_line_errors():
        check_supernet(supernet, "profile")
        described = device_of(device)
        name = described.name
        if run is not None:
            return profile_stage(described, Request(run=run, outputs=str(outputs)).folder, supernet, force=force)
        if described.remote:
            raise InvalidInput(
                f"device={name!r} is another machine: adopt the supernet, search.adopt(supernet, data, run=NAME), and "
                f"profile it there, ofa profile device={name} run=NAME bundle={name}.zip"
            )
        with stage_progress("profile") as update:
            measured = profile_device(
                supernet,
                made_runtime(described.runtime),
                name=name,
                progress=lambda row: show_measuring(row, update),
                **plain(described.profile),
            )
        say_profile(measured)
    return measured
