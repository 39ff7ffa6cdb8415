"""The parts of `benchmarks.compression`."""
