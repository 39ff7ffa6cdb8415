"""Trials: nothing that labels propose is accepted until it has been run narrow and compared."""
