"""Views: subnets that share the supernet's weights."""
