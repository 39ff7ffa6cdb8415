"""Fine-tuning of candidates: a subnet with weights to begin from, pruned and trained as its settings say."""
