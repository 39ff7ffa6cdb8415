"""Subnets: chosen, extracted, written as folders, compared and loaded."""
