"""Evaluation of candidates: in the supernet, or fine-tuned alone."""
