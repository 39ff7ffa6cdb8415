"""Devices: runtimes, the measurement protocol, profile files and the latency model."""

from search.device.latency.fit import fit_latency_model
from search.device.latency.model import HeldOut, LatencyModel
from search.device.measuring import measure, measure_runs
from search.device.profile import Anchor, Profile, read_profile
from search.device.runtime import Runtime, make_runtime
from search.device.runtimes.portable import OnnxRuntime
from search.device.timing import CPU, WALL, Clock, Measurement, Timing, clock_named

__all__ = [
    "CPU",
    "WALL",
    "Anchor",
    "Clock",
    "HeldOut",
    "LatencyModel",
    "Measurement",
    "OnnxRuntime",
    "Profile",
    "Runtime",
    "Timing",
    "clock_named",
    "fit_latency_model",
    "make_runtime",
    "measure",
    "measure_runs",
    "read_profile",
]
