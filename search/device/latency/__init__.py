"""The latency model: blocks measured once, every subnet predicted."""
