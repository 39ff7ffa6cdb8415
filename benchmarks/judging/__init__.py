"""Judges what the toolkit makes of a model, by means that share no code with it."""
