"""Analysis of finished searches: the importance of choices for accuracy, and the effect of each setting."""
