"""Search: which subnet of a supernet to take, for which device and limits."""
