"""The parts of benchmarks/search_quality.py: problems, studies played in memory, and what they came to."""
