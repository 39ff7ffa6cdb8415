"""`ofa prune`: a recipe, the network it starts from, the method that prunes it, and what is kept of the result."""
