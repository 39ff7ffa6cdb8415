"""The source of any traceable network as one plain PyTorch class that keeps the layers' names."""

from search.networks.network_code.source import network_source

__all__ = ["network_source"]
