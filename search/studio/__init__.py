"""The studio: a local page where a person moves shape and sparsity of a network and sees at once what follows."""
