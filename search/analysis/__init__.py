"""Analysis of finished searches: the importance of choices for the metric, and the effect of each setting."""
