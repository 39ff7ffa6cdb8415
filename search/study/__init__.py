"""The study: trials, their storage, the workers that fill it, resumed after any kill."""
