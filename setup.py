"""The packages, looked for rather than listed; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["ofa", "ofa.*", "search", "search.*"]), "search.conf"])
