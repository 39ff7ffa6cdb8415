"""Code that also runs on a device without this toolkit: it needs only the standard library and NumPy."""
