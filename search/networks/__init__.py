"""Folders of networks: written completely or not at all, exported, and loaded back."""
