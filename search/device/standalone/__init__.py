"""What also runs on a device without this toolkit: the standard library and NumPy alone."""
