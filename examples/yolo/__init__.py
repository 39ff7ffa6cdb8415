"""A detector in the style of YOLOv8, as one would write it without any thought of a supernet: plain PyTorch."""
