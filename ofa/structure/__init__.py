"""The structure of a network: traced, coupled, tried, and its elastic parts named."""
