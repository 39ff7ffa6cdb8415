"""Damaged files: mutators, the product's readers by kind of file, and the judgement of each mutation."""
