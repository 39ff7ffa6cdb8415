"""Parts of `benchmarks.kills`."""
