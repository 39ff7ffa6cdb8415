"""From pretrained to elastic: the parts of `python -m benchmarks.adapt`."""
