"""The Python door: adopt, profile, find; the verbs of the command line for supernets in memory."""
