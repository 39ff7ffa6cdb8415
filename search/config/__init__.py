"""Configurations as typed, frozen requests: parsed and validated once, at the door."""
