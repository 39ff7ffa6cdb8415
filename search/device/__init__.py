"""Devices: runtimes, the measuring protocol, profile files and the latency model."""

from search.device.clock import CPU, WALL, Clock, clock_named
from search.device.fit import fit_latency_model
from search.device.latency_model import HeldOut, LatencyModel
from search.device.measure import measure, measure_runs
from search.device.profile_file import Anchor, Profile, read_profile
from search.device.runtime import Runtime, make_runtime
from search.device.runtimes.onnxruntime import OnnxRuntime
from search.device.timing import Measurement, Timing

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
