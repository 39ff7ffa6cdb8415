"""The joint search beside the two searches one after the other: what each is given, and what each finds."""
