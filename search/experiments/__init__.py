"""Samplers kept for comparison: both are worse than evolution in every budget measured (docs/results.md)."""

from search.experiments.amc_sampler import AmcSampler, amc
from search.experiments.filter_policy_sampler import FilterPolicySampler, filter_policy

__all__ = ["AmcSampler", "FilterPolicySampler", "amc", "filter_policy"]
