"""The experiments behind the tables of docs/pruning_results.md, one module each (see benchmarks/pruning_tables.py)."""
