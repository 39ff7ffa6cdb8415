"""Peak activation memory of a subnet, computed and measured."""
