"""Analysis of finished searches: what decides the accuracy, and what each setting does to it."""
