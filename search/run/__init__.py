"""Runs: what a run folder holds, and how it is written, guarded and resumed."""
