"""Candidates, their figures, the space they come from and the limits they must keep."""
