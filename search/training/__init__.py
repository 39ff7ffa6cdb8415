"""The supernet of a run: training, and loading it back."""
