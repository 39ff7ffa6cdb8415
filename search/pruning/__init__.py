"""`ofa prune`: a recipe, the network it starts from, the method that prunes it, and the files of the result."""
