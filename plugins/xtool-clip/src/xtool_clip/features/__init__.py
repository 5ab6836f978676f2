"""Intermediate activations of open_clip image towers as spatial maps."""
