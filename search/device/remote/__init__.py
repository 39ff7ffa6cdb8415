"""Bundles that measure on another device, and importing their results."""
